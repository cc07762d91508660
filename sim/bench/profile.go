package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/google/pprof/profile"
)

// profiler collects profiles of the processor time of the product's programs.
type profiler struct {
	over     func(socket string) *http.Transport
	mu       sync.Mutex
	profiles []*profile.Profile
}

// start profiles the ends of a tunnel once a load has settled, over d. The
// function it returns waits for the profiles.
func (p *profiler) start(ctx context.Context, t *tunnel, d time.Duration) (wait func() error) {
	errs := make([]error, len(t.sockets))
	var running sync.WaitGroup
	for i, socket := range t.sockets {
		running.Go(func() {
			err := pause(ctx, settle)
			var one *profile.Profile
			if err == nil {
				one, err = fetchProfile(ctx, p.over(socket), d)
			}
			if err != nil {
				errs[i] = fmt.Errorf("profile from %s: %w", socket, err)
				return
			}
			p.mu.Lock()
			p.profiles = append(p.profiles, one)
			p.mu.Unlock()
		})
	}
	return func() error {
		running.Wait()
		return errors.Join(errs...)
	}
}

// fetchProfile takes a profile by way of a status socket.
func fetchProfile(ctx context.Context, over *http.Transport, d time.Duration) (*profile.Profile, error) {
	client := http.Client{Transport: over}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://multilink/profile?time="+d.String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return nil, fmt.Errorf("%s: %s", response.Status, text)
	}
	return profile.Parse(response.Body)
}

// write merges what was collected into one file.
func (p *profiler) write(path string) error {
	merged, err := profile.Merge(p.profiles)
	if err != nil {
		return fmt.Errorf("merging profiles: %w", err)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(merged.Write(file), file.Close())
}
