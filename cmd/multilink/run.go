package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"github.com/mdlayher/sdnotify"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/cmd/internal/cli"
	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/engine"
)

func newClient() *cobra.Command {
	return newRun("client", "Run the client: make the tunnel and send this machine's traffic through it",
		func(path string, o engine.Options, errOut io.Writer, level *slog.LevelVar) (service, error) {
			return newService(path, o, errOut, level, config.LoadClient,
				func(c *config.Client) config.Log { return c.Log },
				func(c *config.Client, o engine.Options) end[*config.Client] { return engine.NewClient(c, o) })
		})
}

func newServer() *cobra.Command {
	return newRun("server", "Run the server: give clients their tunnels and forward their traffic",
		func(path string, o engine.Options, errOut io.Writer, level *slog.LevelVar) (service, error) {
			return newService(path, o, errOut, level, config.LoadServer,
				func(c *config.Server) config.Log { return c.Log },
				func(c *config.Server, o engine.Options) end[*config.Server] { return engine.NewServer(c, o) })
		})
}

// end is a client or server with a configuration of type C.
type end[C any] interface {
	Run(context.Context) error
	Reload(C) error
}

// newService reads the configuration and makes the end that it describes.
func newService[C any](path string, o engine.Options, errOut io.Writer, level *slog.LevelVar,
	read func(string) (C, []config.Warning, error), log func(C) config.Log,
	start func(C, engine.Options) end[C]) (service, error) {
	load := func() (C, error) {
		cfg, warnings, err := read(path)
		warn(errOut, warnings)
		return cfg, err
	}
	cfg, err := load()
	if err != nil {
		return service{}, err
	}
	o.Log = newLogger(errOut, log(cfg), level)
	e := start(cfg, o)
	return service{run: e.Run, reload: func() error {
		next, err := load()
		if err != nil {
			return err
		}
		if err := e.Reload(next); err != nil {
			return err
		}
		level.Set(logLevel(log(next).Level))
		return nil
	}, log: o.Log}, nil
}

// service is a client or server that is ready to run.
type service struct {
	run    func(context.Context) error
	reload func() error
	log    *slog.Logger
}

// prepare reads the configuration; it starts nothing.
type prepare func(path string, o engine.Options, errOut io.Writer, level *slog.LevelVar) (service, error)

func newRun(role, short string, p prepare) *cobra.Command {
	path := "/etc/multilink/" + role + ".toml"
	cmd := &cobra.Command{
		Use:   role,
		Short: short,
		Long: short + `.

INT (ctrl-C) and TERM end it and undo all it did to the machine; a second one
ends it at once. HUP reads the configuration again and applies what can be
changed while running.`,
		Args: noFile,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Under systemd there is a socket to say "ready" to; elsewhere the
			// notifier is nil and silent.
			notifier, _ := sdnotify.New()
			defer notifier.Close()
			o := engine.Options{
				Version: cli.Version(),
				Ready:   func() { _ = notifier.Notify(sdnotify.Ready) },
				State:   func(line string) { _ = notifier.Notify(sdnotify.Statusf("%s", line)) },
			}
			svc, err := p(path, o, cmd.ErrOrStderr(), new(slog.LevelVar))
			if err != nil {
				return failure(err)
			}
			ctx, stop := handleSignals(cmd.Context(), svc, notifier)
			defer stop()
			return failure(svc.run(ctx))
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", path, "configuration file (TOML)")
	_ = cmd.MarkFlagFilename("config", "toml")
	return cmd
}

// noFile is the Args of client and server: a file among them is meant to be the
// configuration.
func noFile(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("argument %q is one too many: did you mean %s --config %[1]s?", args[0], cmd.CommandPath())
	}
	return nil
}

// handleSignals returns a context that ends with the first INT or TERM. The
// second one ends the process.
func handleSignals(parent context.Context, svc service, notifier *sdnotify.Notifier) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	var ending time.Time // when the first came
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	go func() {
		for s := range signals {
			switch {
			case s == unix.SIGHUP:
				svc.log.Info("reading the configuration again")
				if err := svc.reload(); err != nil {
					svc.log.Error("the configuration was not changed", "error", err)
				}
			case ctx.Err() == nil:
				svc.log.Info("ending", "signal", s.String())
				_ = notifier.Notify(sdnotify.Stopping)
				ending = time.Now()
				cancel()
			case cli.Echo(ending):
			default:
				svc.log.Warn("ending at once: 'multilink cleanup' removes what is left")
				os.Exit(exitFailure)
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel()
	}
}

// warn prints what is odd about a configuration that is valid.
func warn(w io.Writer, warnings []config.Warning) {
	for _, text := range warnings {
		fmt.Fprintf(w, "multilink: warning: %v\n", text)
	}
}
