"""The cases of scripts/compose-test, which starts the docker daemon and the world outside."""
import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
ROOT = Path(os.environ["SIGLAB_TEST_ROOT"])
CACHE = Path(os.environ.get("SIGLAB_CACHE") or Path.home() / ".cache/siglab")
WORLD = "203.0.113.1"
SERVICES = "oidc fulcio ctlog rekor tsa tuf registry admission".split()
passed, failed = [], []


def run(*command, check=True, **options):
    """Output of a command, standard error included."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          cwd=TREE, timeout=180, check=False, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def claim(text, holds, seen=""):
    """Counts one claim and says what was seen when it does not hold."""
    (passed if holds else failed).append(text)
    print(f"{'ok    ' if holds else 'FAILED'} {text}" + ("" if holds else f"\n       {seen}"), flush=True)


def newest(client):
    return sorted(CACHE.glob(f"{client}-v*/{client}"))[-1]


def tools():
    """An image from nothing with cosign and crane, for clients inside the network."""
    context = ROOT / "tools"
    context.mkdir()
    for client in ("cosign", "crane"):
        run("cp", newest(client), context / client)
    run("cp", TREE / "target/static/images/siglab", context)
    (context / "Dockerfile").write_text("FROM scratch\nCOPY cosign crane siglab /\nUSER 65532:65532\n")
    run("sh", "-c", f"tar -C {context} -c . | DOCKER_BUILDKIT=0 docker build -q -t siglab-test/tools -")


class Lab:
    """One compose project and a client's folder."""

    def __init__(self, name, doors, *files, client_options=()):
        self.name, self.doors, self.client_options = name, doors, client_options
        self.compose = [*os.environ.get("COMPOSE", "docker-compose").split(), "--project-name", name]
        for file in files:
            self.compose += ["--file", file]
        self.work = ROOT / name
        self.work.mkdir()
        self.work.chmod(0o777)

    def __enter__(self):
        self.started = time.monotonic()
        self.up()
        self.ready = time.monotonic() - self.started
        # A client's container that waits for commands: nothing but three programs and a folder.
        run("docker", "run", "--detach", "--rm", f"--name={self.name}-client", f"--network={self.name}_lab",
            "--cap-drop=ALL", "--read-only", "--security-opt=no-new-privileges", "--env=HOME=/work",
            "--dns=127.0.0.1", "--dns-option=timeout:1", "--dns-option=attempts:1",
            f"--volume={self.work}:/work", "--workdir=/work", *self.client_options, "siglab-test/tools", "/crane", "registry", "serve", "--address=127.0.0.1:0")
        return self

    def __exit__(self, kind, *_):
        if kind:
            print(run(*self.compose, "logs", "--no-color", "--tail=20", check=False), file=sys.stderr)
        run("docker", "kill", f"{self.name}-client", check=False)
        run(*self.compose, "down", "--volumes", check=False)

    def up(self):
        run(*self.compose, "up", "--detach", "--no-build")
        for door in self.doors:
            self.wait(door)

    def wait(self, door):
        until = time.monotonic() + 90
        while True:
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{door}/readyz", timeout=2)
            except OSError as error:
                if time.monotonic() > until:
                    raise AssertionError(f"door {door} is not ready: {error}") from error
                time.sleep(0.02)

    def client(self, program, *command, check=True, home="/work"):
        """One command in the client's container."""
        return run("docker", "exec", f"--env=HOME={home}", f"{self.name}-client", f"/{program}", *command,
                   check=check)

    def cosign(self, *command, **options):
        return self.client("cosign", *command, **options)

    def containers(self):
        ids = run(*self.compose, "ps", "--quiet").split()
        return json.loads(run("docker", "inspect", *ids))

    def push(self, reference, text):
        (self.work / "file").write_text(text)
        run("tar", "-C", self.work, "-cf", self.work / "layer.tar", "file")
        self.client("crane", "append", "--oci-empty-base", "--new_layer=layer.tar",
                    f"--new_tag={reference}")
        return self.client("crane", "digest", reference).split()[-1]

    def admits(self, image):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app", "namespace": "default"},
               "spec": {"containers": [{"name": "app", "image": image}]}}
        (self.work / "pod.json").write_text(json.dumps(pod))
        return self.client("siglab", "--lab=http://admission:7070", "admit", "-f", "pod.json",
                           check=False)


REPOSITORY = "registry.localhost:5000/fleet-org/app"
IDENTITY = ["--certificate-identity-regexp=^https://github.com/fleet-org/",
            "--certificate-oidc-issuer=http://oidc:8080/github-actions"]


def chain(lab):
    """Signs and verifies: the first verified signature, and how long it took since nothing was there."""
    lab.client("siglab", "--lab=http://tuf:7070", "trust", "/work/trust")
    token = lab.client("siglab", "--lab=http://oidc:7070", "token", "--preset=github-actions",
                       "repository=fleet-org/app")
    (lab.work / "token").write_text(token)
    image = f"{REPOSITORY}@{lab.push(f'{REPOSITORY}:v1', 'signed')}"
    lab.cosign("initialize", "--mirror=http://tuf:8088", "--root=trust/root.json")
    lab.cosign("sign", "--yes", "--identity-token=token", image)
    answer = lab.cosign("verify", *IDENTITY, image)
    total = time.monotonic() - lab.started
    claim(f"{lab.name}: cosign signs and verifies on the network", "claims were validated" in answer, answer)
    print(f"       ready after {lab.ready:.1f} s, first verified signature after {total:.1f} s")
    wrong = [IDENTITY[0].replace("fleet-org", "evil-org"), IDENTITY[1]]
    answer = lab.cosign("verify", *wrong, image, check=False)
    claim(f"{lab.name}: another identity is refused", "expected SAN value to match" in answer, answer)
    answer = lab.admits(image)
    claim(f"{lab.name}: the webhook admits the signed image", "pod/app created" in answer, answer)
    unsigned = f"{REPOSITORY}@{lab.push(f'{REPOSITORY}:v2', 'unsigned')}"
    answer = lab.admits(unsigned)
    claim(f"{lab.name}: the webhook denies an unsigned image", "denied the request" in answer, answer)
    return image


def hardened(lab):
    """What the kernel says of each process, and what docker says of its health."""
    for _ in range(60):
        states = {c["Name"]: c["State"]["Health"]["Status"] for c in lab.containers()}
        if set(states.values()) == {"healthy"}:
            break
        time.sleep(0.5)
    claim(f"{lab.name}: the program finds itself healthy", set(states.values()) == {"healthy"}, states)
    for container in lab.containers():
        status = Path(f"/proc/{container['State']['Pid']}/status").read_text()
        fields = dict(re.findall(r"^(\w+):\t(.+)$", status, re.MULTILINE))
        powers = [fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
        good = set(powers) == {"0" * 16} and fields["NoNewPrivs"] == "1" and \
            fields["Uid"].split() == ["65532"] * 4 and container["HostConfig"]["ReadonlyRootfs"]
        claim(f"{lab.name}: {container['Name'][1:]} has no powers and a read-only root", good, fields)


def connects(process, host):
    """How a connection from the network of a process to the world ends, and after how many seconds."""
    started = time.monotonic()
    answer = run("nsenter", f"--target={process}", "--net", "timeout", "20", "bash", "-c",
                 f"exec 3<>/dev/tcp/{host}/80 && echo connected", check=False)
    return answer.strip().splitlines()[0] if answer.strip() else "nothing in 20 s", time.monotonic() - started


def world_packets():
    """IP packets that have arrived in the world."""
    lines = Path(f"/proc/{os.environ['SIGLAB_TEST_WORLD']}/net/snmp").read_text().splitlines()
    names, values = [line.split() for line in lines if line.startswith("Ip:")]
    return int(values[names.index("InReceives")])


def sealed(lab):
    """Nothing of the lab's networks reaches the world that an ordinary network reaches."""
    before = world_packets()
    containers = lab.containers() + json.loads(run("docker", "inspect", f"{lab.name}-client"))
    probes = {c["Name"][1:]: c["State"]["Pid"] for c in containers}
    with ThreadPoolExecutor(len(probes)) as pool:
        answers = pool.map(lambda process: connects(process, WORLD), probes.values())
    for name, (answer, seconds) in zip(probes, answers):
        claim(f"{lab.name}: {name} cannot reach the world: {answer.split(': ')[-1].lower()} after "
              f"{seconds:.1f} s", unreachable(answer) and seconds < 10, answer)
    answer, _ = connects(containers[-1]["State"]["Pid"], "203.0.113.2")
    claim(f"{lab.name}: a client cannot reach the host either", unreachable(answer), answer)
    answer = lab.cosign("initialize", f"--mirror=http://{WORLD}", "--root=trust/root.json", "--timeout=20s",
                        check=False, home="/work/elsewhere")
    claim(f"{lab.name}: cosign cannot reach the world", unreachable(answer), answer)
    claim(f"{lab.name}: no packet arrived in the world", world_packets() == before,
          f"{world_packets() - before} packets")


def unreachable(answer):
    return bool(re.search("no route to host|network is unreachable", answer, re.IGNORECASE))


def world():
    """The control: an ordinary network reaches the world, and the counter sees it."""
    before = world_packets()
    run("docker", "network", "create", "ordinary")
    run("docker", "run", "--detach", "--rm", "--name=control", "--network=ordinary", "--env=HOME=/data",
        "siglab/siglab", "up")
    answer, _ = connects(int(run("docker", "inspect", "--format={{.State.Pid}}", "control")), WORLD)
    claim("an ordinary network reaches the world", answer == "connected", answer)
    claim("the counter sees its packets", world_packets() > before)
    run("docker", "kill", "control")
    run("docker", "network", "rm", "ordinary")


def plays_nobody(lab):
    """Public names and issuers are nobody's without the settings that play them."""
    answer = lab.client("siglab", f"--lab={PUBLIC_DOOR}", "status", check=False)
    claim(f"{lab.name}: public names are nobody's", "no lab answers" in answer, answer)
    answer = lab.client("siglab", "--lab=http://oidc:7070", "token", "--preset=github-actions",
                        "issuer=https://token.actions.githubusercontent.com", check=False)
    claim(f"{lab.name}: no token names a public issuer", "issuer" in answer and "eyJ" not in answer, answer)


def separate():
    with Lab("lab", range(7071, 7079), "docker-compose.yml") as lab:
        image = chain(lab)
        plays_nobody(lab)
        hardened(lab)
        sealed(lab)
        run(*lab.compose, "rm", "--stop", "--force")
        lab.up()
        answer = lab.cosign("verify", *IDENTITY, image)
        claim("lab: what was signed is still there in new containers", "claims were validated" in answer, answer)


def all_in_one():
    with Lab("one", [7070], "compose/all-in-one.yml") as lab:
        chain(lab)
        plays_nobody(lab)
        hardened(lab)
        sealed(lab)


def carried():
    """All images as one file, into a daemon that has none of them."""
    before = run("docker", "images", "--quiet", "--no-trunc", "siglab/*").split()
    run("scripts/images", "save", ROOT / "images.tar.gz")
    size = (ROOT / "images.tar.gz").stat().st_size >> 20
    run("sh", "-c", "docker images --format '{{.Repository}}' 'siglab/*' | xargs docker rmi")
    run("scripts/images", "load", ROOT / "images.tar.gz")
    after = run("docker", "images", "--quiet", "--no-trunc", "siglab/*").split()
    claim(f"all images fit through one file of {size} MiB", sorted(before) == sorted(after), f"{before} {after}")


class PublicLab(Lab):
    """The lab that plays the public Sigstore."""

    def __init__(self):
        self.authorities = ROOT / "public"
        os.environ |= {"SIGLAB_PUBLIC": str(self.authorities), "COMPOSE_PROJECT_NAME": "public"}
        options = [f"--volume={self.authorities}:/public:ro", "--env=SSL_CERT_FILE=/public/authorities.pem"]
        super().__init__("public", range(7071, 7079), "docker-compose.yml", "compose/public-names.yml",
                         client_options=options)

    def up(self):
        run("compose/public-names", "up")
        for door in self.doors:
            self.wait(door)

    def token(self, **claims):
        """A token of GitHub's issuer, from its own host, by TLS."""
        host = "token.actions.githubusercontent.com"
        process = next(c["State"]["Pid"] for c in self.containers() if "oidc" in c["Name"])
        query = urllib.parse.urlencode({"preset": "github-actions", "issuer": f"https://{host}"} | claims)
        return run("nsenter", f"--target={process}", "--net", "curl", "--silent", "--show-error", "--fail",
                   "--resolve", f"{host}:443:127.0.0.1", "--cacert", self.authorities / "authorities.pem",
                   f"https://{host}/token?{query}")


PUBLIC_DOOR = "http://tuf-repo-cdn.sigstore.dev:7070"
WORKFLOW = "https://github.com/fleet-org/agent-router/.github/workflows/release.yml@refs/heads/main"


def public_names():
    with PublicLab() as lab:
        lab.client("siglab", "--lab=http://tuf:7070", "trust", "/work/trust")
        answer = lab.client("siglab", f"--lab={PUBLIC_DOOR}", "status")
        claim("public: public names are the lab's", "tuf-repo-cdn.sigstore.dev" in answer, answer)
        repository = "ghcr.io/fleet-org/agent-router"
        image = f"{repository}@{lab.push(f'{repository}:v1', 'signed')}"
        claim("public: ghcr.io is the lab's, by TLS", "@sha256:" in image, image)
        lab.cosign("initialize", "--mirror=http://tuf-repo-cdn.sigstore.dev", "--root=trust/root.json")
        lab.cosign("sign", "--yes", f"--identity-token={lab.token(repository='fleet-org/agent-router')}", image)
        answer = lab.cosign("verify", f"--certificate-identity={WORKFLOW}",
                            "--certificate-oidc-issuer=https://token.actions.githubusercontent.com", image)
        claim("public: cosign signs and verifies as a GitHub workflow", "claims were validated" in answer, answer)
        answer = lab.admits(image)
        claim("public: the lesson's policy admits it", "pod/app created" in answer, answer)
        evil = f"{repository}@{lab.push(f'{repository}:v2', 'by another workflow')}"
        lab.cosign("sign", "--yes", f"--identity-token={lab.token(repository='evil-org/agent-router')}", evil)
        answer = lab.admits(evil)
        claim("public: the lesson's policy denies another workflow's", "denied the request" in answer and
              "evil-org" in answer, answer)
        sealed(lab)


CASES = {"world": world, "carried": carried, "separate": separate, "all-in-one": all_in_one,
         "public-names": public_names}


def main():
    names = sys.argv[1:] or list(CASES)
    if unknown := [name for name in names if name not in CASES]:
        sys.exit(f"no case {', '.join(unknown)}, expected {', '.join(CASES)}")
    print(run("scripts/images", "pack"), end="")
    tools()
    for name in names:
        try:
            CASES[name]()
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            claim(name, False, error)
    print(f"{len(passed)} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


main()
