package engine

import "errors"

// errClosed is what a driver answers at the end.
var errClosed = errors.New("the session has ended")
