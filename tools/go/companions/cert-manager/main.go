// cert-manager is cert-manager's controller with the issuers that need nobody outside: a certificate authority whose key
// is in a Secret, and certificates that sign themselves. The program of its release is no module that can be fetched.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/cert-manager/cert-manager/pkg/controller"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: cert-manager KUBECONFIG NAMESPACE-OF-CLUSTER-ISSUERS")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	options := controller.ContextOptions{Kubeconfig: os.Args[1], KubernetesAPIQPS: 50, KubernetesAPIBurst: 100}
	options.ClusterResourceNamespace = os.Args[2]
	factory, err := controller.NewContextFactory(ctx, options)
	if err != nil {
		log.Fatal(err)
	}
	shared, err := factory.Build("cert-manager")
	if err != nil {
		log.Fatal(err)
	}
	var controllers []controller.Interface
	for name, construct := range controller.Known() {
		built, err := construct(factory)
		if err != nil {
			log.Fatalf("%s: %v", name, err)
		}
		controllers = append(controllers, built)
	}
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	shared.HTTP01ResourceMetadataInformersFactory.Start(ctx.Done())
	var running sync.WaitGroup
	for _, each := range controllers {
		running.Go(func() {
			if err := each.Run(2, ctx); err != nil && ctx.Err() == nil {
				log.Fatal(err)
			}
		})
	}
	running.Wait()
}
