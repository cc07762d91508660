package main

import (
	"errors"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/engine"
)

// The exit statuses.
const (
	exitOK      = 0
	exitFailure = 1 // it ran, or should have, and failed
	exitUsage   = 2 // wrong usage or configuration: nothing was started
	exitMachine = 3 // the machine lacks something: not root, no TUN
)

// exitError is an error with the exit status it leads to.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// failure gives an error the exit status that fits its kind.
func failure(err error) error {
	var invalid config.Errors
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid):
		return &exitError{exitUsage, err}
	case errors.Is(err, engine.ErrMachine):
		return &exitError{exitMachine, err}
	}
	return &exitError{exitFailure, err}
}

// usage marks an error as the user's.
func usage(err error) error { return &exitError{exitUsage, err} }
