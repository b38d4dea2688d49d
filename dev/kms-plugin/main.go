// A KMS v2 plugin for tests: the official gRPC service of k8s.io/kms over a key in memory, told how to behave by a file.
//
// Usage: kms-plugin SOCKET CONTROL
//
// The control file is read at every call. It has three words: a mode, the key_id, and the seed of the key behind it.
// The former key of a key_id other than the present is seeded by that key_id:
//
//	ok         answers as it should
//	unhealthy  says in Status that it is not healthy
//	slow       answers nothing before the caller gives up
//	refuse     Encrypt and Decrypt fail
//
// The other modes break the rules of the API in one way each.
package main

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/kms/pkg/service"
)

const annotation = "version.kms-plugin.ltikeys.dev"

type plugin struct{ control string }

type behaviour struct{ mode, keyID, seed string }

func (p plugin) behaviour() behaviour {
	text, _ := os.ReadFile(p.control)
	words := append(strings.Fields(string(text)), "", "", "")
	return behaviour{mode: words[0], keyID: words[1], seed: words[2]}
}

func aead(seed string) (cipher.AEAD, error) {
	key := sha256.Sum256([]byte(seed))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (p plugin) Status(ctx context.Context) (*service.StatusResponse, error) {
	b := p.behaviour()
	answer := &service.StatusResponse{Version: "v2", Healthz: "ok", KeyID: b.keyID}
	switch b.mode {
	case "slow":
		return nil, tooLate(ctx)
	case "unhealthy":
		answer.Healthz = "the HSM is on fire"
	case "status-garbage":
		answer.Version = strings.Repeat("\x00", 30_000)
	case "big-key-id":
		answer.KeyID = strings.Repeat("k", 1025)
	case "no-key-id":
		answer.KeyID = ""
	}
	return answer, nil
}

func (p plugin) Encrypt(ctx context.Context, uid string, data []byte) (*service.EncryptResponse, error) {
	b := p.behaviour()
	switch b.mode {
	case "slow":
		return nil, tooLate(ctx)
	case "refuse":
		return nil, status.Error(codes.PermissionDenied, "not allowed to use the key")
	}
	gcm, err := aead(b.seed)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, gcm.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	answer := &service.EncryptResponse{
		Ciphertext:  gcm.Seal(nonce, nonce, data, []byte(b.keyID)),
		KeyID:       b.keyID,
		Annotations: map[string][]byte{annotation: []byte("1")},
	}
	switch b.mode {
	case "encrypt-garbage":
		answer.Ciphertext = bytes.Repeat([]byte{0xff}, 60)
	case "big-ciphertext":
		answer.Ciphertext = make([]byte, 1025)
	case "foreign-key-id":
		answer.KeyID = "another"
	case "bad-annotation":
		answer.Annotations["not a domain"] = nil
	}
	return answer, nil
}

func (p plugin) Decrypt(ctx context.Context, uid string, request *service.DecryptRequest) ([]byte, error) {
	b := p.behaviour()
	switch b.mode {
	case "slow":
		return nil, tooLate(ctx)
	case "refuse":
		return nil, status.Error(codes.PermissionDenied, "not allowed to use the key")
	case "decrypt-garbage":
		return []byte("garbage"), nil
	}
	if string(request.Annotations[annotation]) != "1" {
		return nil, errors.New("the annotation is not the one given")
	}
	// A KMS keeps the keys it rotated away from.
	seed := request.KeyID
	if b.keyID == request.KeyID {
		seed = b.seed
	}
	gcm, err := aead(seed)
	if err != nil {
		return nil, err
	}
	if len(request.Ciphertext) < gcm.NonceSize() {
		return nil, errors.New("the ciphertext is too short")
	}
	nonce, sealed := request.Ciphertext[:gcm.NonceSize()], request.Ciphertext[gcm.NonceSize():]
	return gcm.Open(nil, nonce, sealed, []byte(request.KeyID))
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: kms-plugin SOCKET CONTROL")
	}
	if err := os.Remove(os.Args[1]); err != nil && !errors.Is(err, os.ErrNotExist) {
		log.Fatal(err)
	}
	log.Fatal(service.NewGRPCService(os.Args[1], 5*time.Second, plugin{control: os.Args[2]}).ListenAndServe())
}

// tooLate returns long after the deadline of the caller. A plugin that returned at the deadline could answer first,
// because the caller may be late to notice it.
func tooLate(ctx context.Context) error {
	<-ctx.Done()
	time.Sleep(5 * time.Second)
	return ctx.Err()
}
