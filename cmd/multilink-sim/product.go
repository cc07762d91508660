package main

import (
	"errors"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/engine"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// options are those every scenario is read with: the checks are the product's.
func options(set []string) scenario.Options {
	return scenario.Options{
		Set:         set,
		CheckClient: func(keys map[string]any) error { return keyErrors(config.CheckClientKeys(keys)) },
		CheckServer: func(keys map[string]any) error { return keyErrors(config.CheckServerKeys(keys)) },
		StatusNames: engine.StatusNames,
	}
}

// keyErrors puts the product's errors into the words of the language.
func keyErrors(err error) error {
	var list config.Errors
	if !errors.As(err, &list) {
		return err
	}
	var errs []error
	for _, e := range list {
		errs = append(errs, &scenario.KeyError{Key: e.Key, Message: e.Error()})
	}
	return errors.Join(errs...)
}
