// Package coresmd gives machines that SMD knows their leases.
package coresmd

import (
	"errors"

	"github.com/coredhcp/coredhcp/handler"
	"github.com/coredhcp/coredhcp/plugins"
)

// Plugin registers coresmd with CoreDHCP.
var Plugin = plugins.Plugin{Name: "coresmd", Setup4: setup4}

func setup4(...string) (handler.Handler4, error) { return nil, errors.New("not written") }
