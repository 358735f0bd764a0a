"""The cases of scripts/compose-test, which starts the docker daemon and the world outside."""
import json
import os
import re
import subprocess
import sys
import time
import tomllib
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
ROOT = Path(os.environ["SIGLAB_TEST_ROOT"])
CACHE = Path(os.environ.get("SIGLAB_CACHE") or Path.home() / ".cache/siglab")
WORLD = "203.0.113.1"
DOOR = "http://127.0.0.1:7070"
PROGRAMS = TREE / "target/static/images"
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


PINNED = tomllib.loads((TREE / "tests/clients.toml").read_text())


def pinned(client):
    """A client of install-clients."""
    table = PINNED[client]
    return CACHE / f"{client}-{table['version']}" / table["go"].rsplit("/", 1)[-1]


COMPOSE = {"v1": "docker-compose", "v2": pinned("compose")}


def tools():
    """An image from nothing with cosign and crane, for clients inside the network."""
    context = ROOT / "tools"
    context.mkdir()
    for client in ("cosign", "crane"):
        run("cp", pinned(client), context / client)
    run("cp", PROGRAMS / "siglab", context)
    (context / "Dockerfile").write_text("FROM scratch\nCOPY cosign crane siglab /\nUSER 65532:65532\n")
    run("sh", "-c", f"tar -C {context} -c . | DOCKER_BUILDKIT=0 docker build -q -t siglab-test/tools -")


class Lab:
    """One compose project and a client's folder."""

    client_options = ()

    def __init__(self, name, version, *files):
        self.name = name
        self.compose = [COMPOSE[version], "--project-name", name]
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
            f"--volume={self.work}:/work", "--workdir=/work", *self.client_options, "siglab-test/tools",
            "/crane", "registry", "serve", "--address=127.0.0.1:0")
        return self

    def __exit__(self, kind, *_):
        if kind:
            print(run(*self.compose, "logs", "--no-color", "--tail=20", check=False), file=sys.stderr)
        run("docker", "kill", f"{self.name}-client", check=False)
        run(*self.compose, "down", "--volumes", check=False)

    def up(self):
        run(*self.compose, "up", "--detach", "--no-build")
        until = time.monotonic() + 90
        while True:
            try:
                return urllib.request.urlopen(f"{DOOR}/readyz", timeout=4)
            except OSError as error:
                if time.monotonic() > until:
                    raise AssertionError(f"the lab is not ready: {error}") from error
                time.sleep(0.02)

    def client(self, program, *command, check=True, home="/work"):
        """One command in the client's container."""
        return run("docker", "exec", f"--env=HOME={home}", f"{self.name}-client", f"/{program}", *command,
                   check=check)

    def cosign(self, *command, **options):
        return self.client("cosign", *command, **options)

    def siglab(self, *command, **options):
        """One command of ours in the client's container."""
        return self.client("siglab", f"--lab={self.door}", *command, **options)

    door = "http://door:7070"

    def containers(self):
        """Those that run."""
        ids = run(*self.compose, "ps", "--quiet").split()
        return [c for c in json.loads(run("docker", "inspect", *ids)) if c["State"]["Running"]]

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
        return self.siglab("admit", "-f", "pod.json", check=False)


REPOSITORY = "registry.localhost:5000/fleet-org/app"
IDENTITY = ["--certificate-identity-regexp=^https://github.com/fleet-org/",
            "--certificate-oidc-issuer=http://oidc:8080/github-actions"]


def chain(lab):
    """Signs and verifies: the first verified signature, and how long it took since nothing was there."""
    lab.siglab("trust", "/work/trust")
    token = lab.siglab("token", "--preset=github-actions", "repository=fleet-org/app")
    (lab.work / "token").write_text(token)
    image = f"{REPOSITORY}@{lab.push(f'{REPOSITORY}:v1', 'signed')}"
    lab.cosign("initialize", "--mirror=http://tuf:8088", "--root=trust/root.json")
    lab.cosign("sign", "--yes", "--identity-token=token", image)
    answer = lab.cosign("verify", *IDENTITY, image)
    total = time.monotonic() - lab.started
    claim(f"{lab.name}: cosign signs and verifies on the network", "claims were validated" in answer, answer)
    print(f"       {lab.name}: ready after {lab.ready:.2f} s, first verified signature after {total:.2f} s")
    return image


def decisions(lab, image):
    """What is refused, by cosign and by the webhook."""
    wrong = [IDENTITY[0].replace("fleet-org", "evil-org"), IDENTITY[1]]
    answer = lab.cosign("verify", *wrong, image, check=False)
    claim(f"{lab.name}: another identity is refused", "expected SAN value to match" in answer, answer)
    answer = lab.admits(image)
    claim(f"{lab.name}: the webhook admits the signed image", "pod/app created" in answer, answer)
    unsigned = f"{REPOSITORY}@{lab.push(f'{REPOSITORY}:v2', 'unsigned')}"
    answer = lab.admits(unsigned)
    claim(f"{lab.name}: the webhook denies an unsigned image", "denied the request" in answer, answer)


def ends(code, *command):
    """Whether a command ends with this exit code, and what it says."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=TREE,
                          timeout=180, check=False)
    return done.returncode == code, done.stdout


def exercise(lab, siglab, home):
    """An exercise in the folder that the webhook's container reads."""
    (POLICIES / "lab.yaml").unlink()
    steps = [(0, "start", "1", f"--policies={POLICIES}"), (1, "check"), (0, "solve"), (0, "check"), (0, "reset")]
    for code, *step in steps:
        claim(f"{lab.name}: siglab lab {step[0]} on the host ends with {code}",
              *ends(code, *siglab, "lab", *step, f"--dir={home / 'exercise'}"))
    run("cp", TREE / "compose/policies/lab.yaml", POLICIES)


def from_host(lab, image):
    """The host, which knows no name of the lab, asks its one door and signs through it."""
    home = lab.work / "host"
    home.mkdir()
    # A daemon of its own has no other way to the lab than that of every program on the host.
    siglab = [PROGRAMS / "siglab", f"--lab={DOOR}"]
    status = json.loads(run(*siglab, "status", "--json"))
    ready = [row["name"] for row in status["services"] if row["ready"]]
    claim(f"{lab.name}: the door shows all services ready", len(ready) == 8, status)
    variables = json.loads(run(*siglab, "env", "--format=json", f"--dir={home}"))
    environment = os.environ | variables | {"HOME": str(home)}
    repository = f"{variables['REGISTRY']}/fleet-org/host"
    (home / "layer.tar").write_bytes((lab.work / "layer.tar").read_bytes())

    def shell(command):
        return run("sh", "-c", f"cd {home} && PATH={pinned('cosign').parent}:{pinned('crane').parent}:$PATH; "
                   f"{command}", env=environment | {"IMAGE": repository}, check=False)

    shell("crane append --oci-empty-base --new_layer=layer.tar --new_tag=$IMAGE:v1")
    answer = shell('cosign initialize --mirror="$TUF_MIRROR" --root="$TUF_ROOT_JSON" && '
                   'cosign sign --yes "$IMAGE@$(crane digest $IMAGE:v1)" && cosign verify '
                   '--certificate-identity=foo@bar.com --certificate-oidc-issuer="$ISSUER_URL" $IMAGE:v1')
    claim(f"{lab.name}: cosign on the host signs and verifies through the door", "claims were validated" in answer,
          answer)
    claim(f"{lab.name}: siglab on the host verifies what was signed inside",
          *ends(0, *siglab, "verify", image, *IDENTITY))
    claim(f"{lab.name}: siglab on the host signs inside", *ends(0, *siglab, "sign", f"{repository}:v1"))
    claim(f"{lab.name}: siglab on the host reads the log", *ends(0, *siglab, "log", "prove", "0"))
    pod = lab.work / "pod.json"
    answer = run(*siglab, "admit", "-f", pod, check=False)
    claim(f"{lab.name}: siglab on the host asks the webhook", "denied the request" in answer, answer)
    answer = run(*siglab, "explain", "-f", pod, check=False)
    claim(f"{lab.name}: and has it explained", "signed-by-a-workflow" in answer, answer)
    exercise(lab, siglab, home)
    answer = run("curl", "--silent", "--max-time", "9", "--proxy", DOOR, f"http://{WORLD}/", check=False)
    claim(f"{lab.name}: the door leads nowhere else", "is none of them" in answer, answer)


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
    answer = lab.siglab("token", "--preset=github-actions",
                        "issuer=https://token.actions.githubusercontent.com", check=False)
    claim(f"{lab.name}: no token names a public issuer", "issuer" in answer and "eyJ" not in answer, answer)


def read():
    """Both versions of compose understand every way to start the lab."""
    ways = [["docker-compose.yml"], ["compose/all-in-one.yml"], ["docker-compose.yml", "compose/public-names.yml"]]
    for version, program in COMPOSE.items():
        for files in ways:
            answer = run(program, *[f"--file={file}" for file in files], "config", "--quiet", check=False)
            claim(f"compose {version} reads {' and '.join(files)}", answer == "", answer)


POLICIES = ROOT / "policies"


def separate():
    run("cp", "--recursive", "compose/policies", POLICIES)
    os.environ["SIGLAB_POLICIES"] = str(POLICIES)
    with Lab("lab", "v2", "docker-compose.yml") as lab:
        image = chain(lab)
        decisions(lab, image)
        plays_nobody(lab)
        from_host(lab, image)
        hardened(lab)
        sealed(lab)
        run(*lab.compose, "rm", "--stop", "--force")
        lab.up()
        answer = lab.cosign("verify", *IDENTITY, image)
        claim("lab: what was signed is still there in new containers", "claims were validated" in answer, answer)
    del os.environ["SIGLAB_POLICIES"]


def all_in_one():
    with Lab("one", "v1", "compose/all-in-one.yml") as lab:
        lab.door = "http://oidc:7070"
        decisions(lab, chain(lab))
        plays_nobody(lab)
        hardened(lab)
        sealed(lab)


def documents():
    """The documents' commands that need a docker daemon: the blocks with the mark of this function."""
    carried_in = ROOT / "carried"
    carried_in.mkdir()
    run("cp", "--recursive", "docker-compose.yml", "compose", carried_in)
    (carried_in / "images").mkdir()
    run(PROGRAMS / "siglab", "images", "save", carried_in / "images/siglab-images.tar.gz")
    environment = os.environ | {"HOME": str(ROOT), "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
                                "CARGO_HOME": os.environ.get("CARGO_HOME", str(Path.home() / ".cargo")),
                                "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup"))}
    for page in [TREE / "README.md", *sorted((TREE / "docs").glob("*.md"))]:
        blocks = re.findall(r"^```sh run-by=compose/test.py:documents\n(.*?)^```", page.read_text(),
                            re.MULTILINE | re.DOTALL)
        for number, block in enumerate(blocks, 1):
            done = subprocess.run(["sh", "-euxc", block], cwd=TREE if page.name == "README.md" else carried_in,
                                  env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  timeout=600, check=False)
            claim(f"{page.name}: the commands of block {number} work", done.returncode == 0, done.stdout)


def start():
    """How long it takes from nothing to the first verified signature; the fastest of three is the figure."""
    for number in range(3):
        with Lab(f"start{number}", "v2", "docker-compose.yml") as lab:
            chain(lab)


def carried():
    """All images as one file, by docker and by our own program, into a daemon that has none of them."""
    def inspected():
        ids = run("docker", "images", "--quiet", "--no-trunc", "siglab/*").split()
        configs = json.loads(run("docker", "inspect", *ids))
        return sorted((c["RepoTags"], c["Config"]["User"], c["Config"]["Entrypoint"]) for c in configs)

    def forget():
        run("sh", "-c", "docker images --format '{{.Repository}}' 'siglab/*' | xargs docker rmi")

    before = inspected()
    file = ROOT / "images.tar.gz"
    for program in ["scripts/images"], [PROGRAMS / "siglab", "images"]:
        run(*program, "save", file)
        forget()
        run("scripts/images", "load", file)
        claim(f"{' '.join(map(str, program[1:])) or 'docker'}: all images fit through one file of "
              f"{file.stat().st_size >> 20} MiB", inspected() == before, f"{before} {inspected()}")
    forget()
    run(PROGRAMS / "siglab", "images", "load")
    claim("images load: all images without a file", inspected() == before, f"{before} {inspected()}")


class PublicLab(Lab):
    """The lab that plays the public Sigstore."""

    def __init__(self):
        super().__init__("public", "v1", "docker-compose.yml", "compose/public-names.yml")
        # All that a client knows of the lab, beside its TUF root.
        self.client_options = ["--env=SSL_CERT_FILE=/work/ca.pem"]

    def up(self):
        super().up()
        (self.work / "ca.pem").write_bytes(urllib.request.urlopen(f"{DOOR}/ca.pem").read())

    def sign(self, image, **claims):
        """The lesson's command, letter for letter, as a GitHub workflow."""
        given = [f"{name}={value}" for name, value in claims.items()]
        token = self.siglab("token", "--preset=github-actions", f"issuer={GITHUB}", *given)
        return run("sh", "-c", f"echo y | docker exec --interactive --env=HOME=/work {self.name}-client "
                   "/cosign sign --identity-token=$OIDC_TOKEN $IMAGE_DIGEST",
                   env=os.environ | {"OIDC_TOKEN": token, "IMAGE_DIGEST": image})


GITHUB = "https://token.actions.githubusercontent.com"
PUBLIC_DOOR = "http://tuf-repo-cdn.sigstore.dev:7070"
PUBLIC_NAMES = ["fulcio.sigstore.dev", "rekor.sigstore.dev", "timestamp.sigstore.dev", "tuf-repo-cdn.sigstore.dev",
                "token.actions.githubusercontent.com", "ghcr.io"]
WORKFLOW = "https://github.com/fleet-org/agent-router/.github/workflows/release.yml@refs/heads/main"


def ports(lab, name):
    """What a client sees at port 443 of a public name, by the lab's authority alone, and at port 80."""
    places = [c["NetworkSettings"]["Networks"]["public_lab"] for c in lab.containers()]
    address = next(place["IPAddress"] for place in places if name in (place["Aliases"] or []))
    process = json.loads(run("docker", "inspect", "public-client"))[0]["State"]["Pid"]
    tls = run("nsenter", f"--target={process}", "--net", "curl", "--silent", "--max-time", "9", "--output", "/dev/null",
              "--write-out", "%{http_code}", "--resolve", f"{name}:443:{address}", "--cacert", lab.work / "ca.pem",
              f"https://{name}/", check=False)
    return tls, connects(process, address)[0].lower()


def public_names():
    with PublicLab() as lab:
        lab.siglab("trust", "/work/trust")
        answer = lab.siglab("status")
        claim("public: it says that it plays", "PLAYS THE PUBLIC SIGSTORE" in answer, answer)
        for name in PUBLIC_NAMES:
            tls, plain = ports(lab, name)
            claim(f"public: {name} is the lab's, by TLS alone", tls != "000" and "refused" in plain, (tls, plain))
        repository = "ghcr.io/fleet-org/agent-router"
        image = f"{repository}@{lab.push(f'{repository}:v1', 'signed')}"
        # Without the slash at its end the mirror is cosign's default one, for which it takes its own root.
        lab.cosign("initialize", "--mirror=https://tuf-repo-cdn.sigstore.dev/", "--root=trust/root.json")
        lab.sign(image, repository="fleet-org/agent-router")
        answer = lab.cosign("verify", f"--certificate-identity={WORKFLOW}",
                            f"--certificate-oidc-issuer={GITHUB}", image)
        claim("public: cosign signs and verifies as a GitHub workflow", "claims were validated" in answer, answer)
        answer = lab.admits(image)
        claim("public: the lesson's policy admits it", "pod/app created" in answer, answer)
        variables = json.loads(run(PROGRAMS / "siglab", f"--lab={DOOR}", "env", "--format=json", f"--dir={lab.work}/host"))
        verify = [pinned("cosign"), "verify", f"--certificate-identity={WORKFLOW}", f"--certificate-oidc-issuer={GITHUB}"]
        answer = run(*verify, image, check=False, env=os.environ | variables | {"HOME": str(lab.work / "host")})
        claim("public: cosign on the host verifies by what siglab env says alone", "claims were validated" in answer,
              answer)
        evil = f"{repository}@{lab.push(f'{repository}:v2', 'by another workflow')}"
        lab.sign(evil, repository="evil-org/agent-router")
        answer = lab.admits(evil)
        claim("public: the lesson's policy denies another workflow's", "denied the request" in answer and
              "evil-org" in answer, answer)
        sealed(lab)


CASES = {"read": read, "world": world, "carried": carried, "separate": separate, "all-in-one": all_in_one,
         "public-names": public_names, "documents": documents, "start": start}


def main():
    names = sys.argv[1:] or [name for name in CASES if name != "start"]
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
