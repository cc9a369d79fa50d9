//go:build !linux

package cpu

import "errors"

// CanPin tells whether PinThread works on this platform.
const CanPin = false

// Allowed is false: see CanPin.
func Allowed(int) bool { return false }

// PinThread fails on this platform.
func PinThread([]int) error { return errors.New("cpu: pinning threads is not supported here") }
