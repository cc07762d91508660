package traffic

import "context"

// Services are the servers that a host offers to whoever tries things by
// hand: HTTP on port 80, DNS on port 53.
type Services struct {
	files    *fileServer
	resolver *resolver
}

// Serve starts the services of a host. The HTTP server hands out one file of
// the given size under every path.
func Serve(ctx context.Context, host End, seed uint64, size int64) (*Services, error) {
	files, err := startFileServer(ctx, host, 80, seed, size, "")
	if err != nil {
		return nil, err
	}
	names, err := startResolver(ctx, host, 53)
	if err != nil {
		files.stop()
		return nil, err
	}
	return &Services{files, names}, nil
}

// Stop ends the services.
func (s *Services) Stop() {
	s.files.stop()
	s.resolver.stop()
}
