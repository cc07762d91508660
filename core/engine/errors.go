package engine

import "errors"

// errClosed is what a driver answers at the end.
var errClosed = errors.New("the session has ended")

// errGoodbye says that the other end has ended a control connection on purpose.
var errGoodbye = errors.New("the server said goodbye")
