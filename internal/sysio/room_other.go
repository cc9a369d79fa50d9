//go:build !linux

package sysio

// Room returns nil: nobody can tell.
func Room(int64) error { return nil }
