// A test suite that has a Sigstore of its own: `go test`, with siglab and cosign on the PATH.
package example

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"
)

func run(t *testing.T, name string, arguments ...string) []byte {
	output, err := exec.Command(name, arguments...).Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, arguments, err)
	}
	return output
}

// lab starts a Sigstore for one test and returns what `siglab env` exports.
func lab(t *testing.T) (env map[string]string) {
	dir := t.TempDir()
	siglab := exec.Command("siglab", "up", "--port=0", "--data-dir="+dir+"/lab", "--ready-file="+dir+"/ready")
	if err := siglab.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { siglab.Process.Signal(os.Interrupt); siglab.Wait() })
	var ready struct{ Admin_url string }
	for deadline := time.Now().Add(time.Minute); ready.Admin_url == "" && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
		text, _ := os.ReadFile(dir + "/ready")
		json.Unmarshal(text, &ready)
	}
	json.Unmarshal(run(t, "siglab", "env", "--lab="+ready.Admin_url, "--format=json", "--dir="+dir), &env)
	return env
}

func TestASignatureVerifies(t *testing.T) {
	env := lab(t)
	t.Setenv("TUF_ROOT", t.TempDir()) // what cosign trusts in this test
	run(t, "cosign", "initialize", "--mirror="+env["TUF_MIRROR"], "--root="+env["TUF_ROOT_JSON"])
	bundle := "--bundle=" + t.TempDir() + "/bundle.json"
	run(t, "cosign", "sign-blob", "--yes", "--identity-token="+env["OIDC_TOKEN"], bundle, "go.mod")
	run(t, "cosign", "verify-blob", bundle, "--certificate-identity=foo@bar.com",
		"--certificate-oidc-issuer="+env["ISSUER_URL"], "go.mod")
}
