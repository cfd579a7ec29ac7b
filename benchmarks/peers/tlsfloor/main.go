// tlsfloor is an OpenAI-compatible upstream over TLS with an endless response: any POST gets a token every GAP_MS.
// It creates a certificate for 127.0.0.1 at startup and writes it to CA_FILE, which clients trust by SSL_CERT_FILE.
// HTTP/1.1 only, so that both relays do the same work.
//
//	tlsfloor PORT GAP_MS CA_FILE
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

const chunk = "data: {\"id\":\"chatcmpl-floor00000000000000000001\",\"object\":\"chat.completion.chunk\",\"created\":1750000000," +
	"\"model\":\"llama-3.3-70b-versatile\",\"system_fingerprint\":\"fp_floor00001\",\"choices\":[{\"index\":0," +
	"\"delta\":{\"content\":\" word%05d\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n"

func certificate(caFile string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	about := x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "tlsfloor"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, &about, &about, &key.PublicKey, key)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func main() {
	gapMS, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	gap := time.Duration(gapMS) * time.Millisecond
	stream := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		flusher := w.(http.Flusher)
		ticker := time.NewTicker(gap)
		defer ticker.Stop()
		for n := 0; ; n++ {
			if _, err := fmt.Fprintf(w, chunk, n%100000); err != nil {
				return
			}
			flusher.Flush()
			select {
			case <-ticker.C:
			case <-r.Context().Done():
				return
			}
		}
	}
	server := http.Server{
		Addr:         "127.0.0.1:" + os.Args[1],
		Handler:      http.HandlerFunc(stream),
		TLSConfig:    &tls.Config{Certificates: []tls.Certificate{certificate(os.Args[3])}},
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	log.Fatal(server.ListenAndServeTLS("", ""))
}
