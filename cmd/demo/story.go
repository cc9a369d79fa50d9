package main

import (
	"context"
	"errors"
)

const childName = "child"

func tortureCommand(ctx context.Context, args []string, s streams) error { return errors.New("x") }
func childCommand(ctx context.Context, args []string, s streams) error   { return errors.New("x") }
func story(ctx context.Context, s streams) error                         { return errors.New("x") }
