// Package ext stands in for a module that Traefik keeps in its own tree, and that a module proxy therefore does not have.
// It has the places for additions to Traefik's configuration, of which there are none.
package ext

// HTTP has additions to the configuration of HTTP.
type HTTP struct{}

// Router has additions to the configuration of a router.
type Router struct{}
