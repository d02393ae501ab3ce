module airfield.dev/tools/go/gateway-api

go 1.26.0

// Nothing is built of it: the definitions of kinds that its source brings along are put together.
require sigs.k8s.io/gateway-api v1.6.1
