module airfield.dev/tools/go/definitions

go 1.26.0

// Nothing is built of these: the definitions of kinds that their sources bring along are put together.
require (
	github.com/cert-manager/cert-manager v1.19.1
	sigs.k8s.io/gateway-api v1.6.1
)
