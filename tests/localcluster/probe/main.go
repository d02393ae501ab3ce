// probe serves a greeting (`probe serve`), or writes what a URL answers to a file as soon as it does (`probe fetch URL FILE`).
package main

import (
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	if os.Args[1] == "serve" {
		log.Fatal(http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "hello")
		})))
	}
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get(os.Args[2])
	for ; err != nil; response, err = client.Get(os.Args[2]) {
		log.Print(err)
		time.Sleep(200 * time.Millisecond)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(os.Args[3], body, 0o644); err != nil {
		log.Fatal(err)
	}
}
