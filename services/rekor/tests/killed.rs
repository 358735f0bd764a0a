//! The service's own program, killed while clients write to both logs: every promise that a client ever
//! got must hold afterwards (RELIABILITY A4).

use std::{
    fs::{File, read_to_string},
    io::{BufRead as _, BufReader, Lines, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto::{HashAlgorithm, KeyKind, PublicKey, SigningKey};
use serde_json::{Value, json};

const CYCLES: usize = 30;

/// Clients of each log at the same time.
const CLIENTS: usize = 8;

const V1_ENTRIES: &str = "/api/v1/log/entries";
const V2_ENTRIES: &str = "/api/v2/log/entries";

/// What a client was told.
enum Promise {
    V1 {
        id: String,
        entry: Value,
    },
    V2 {
        request: String,
        index: String,
        checkpoint: String,
    },
}

/// The running program.
struct Program {
    child: Child,
    /// Kept open: the program does not outlive a closed pipe.
    _stdout: Lines<BufReader<ChildStdout>>,
    v1: String,
    v2: String,
}

impl Program {
    fn start(dir: &Path) -> Self {
        let errors = File::create(dir.join("stderr")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_siglab-rekor"))
            .args(["--port", "0", "--data-dir"])
            .arg(dir)
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = |name: &str| {
            let prefix = format!("export REKOR_{name}_URL=http://");
            loop {
                let Some(line) = lines.next() else {
                    panic!(
                        "did not start: {}",
                        read_to_string(dir.join("stderr")).unwrap()
                    );
                };
                let line = line.unwrap();
                if let Some(address) = line.strip_prefix(&prefix) {
                    return address.to_owned();
                }
            }
        };
        let (v1, v2) = (address("V1"), address("V2"));
        Self {
            child,
            v1,
            v2,
            _stdout: lines,
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// One kept-alive connection.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(address: &str) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self(BufReader::new(stream)))
    }

    /// Status and body, or `None` when the program is gone.
    fn send(&mut self, method: &str, path: &str, body: &str) -> Option<(u16, Vec<u8>)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len(),
        );
        self.0.get_mut().write_all(request.as_bytes()).ok()?;
        let mut line = String::new();
        self.0.read_line(&mut line).ok()?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut length = 0;
        loop {
            line.clear();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        Some((status, body))
    }

    fn get(&mut self, path: &str) -> Value {
        let (status, body) = self.send("GET", path, "").expect("the program runs");
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }
}

fn v1_proposal(key: &SigningKey, message: &[u8]) -> String {
    let pem = STANDARD.encode(key.public_key().to_pem());
    let signature = STANDARD.encode(key.sign(message).unwrap());
    let hash = json!({ "algorithm": "sha256", "value": hex::encode(crypto::sha256(message)) });
    let signature = json!({ "content": signature, "publicKey": { "content": pem } });
    json!({
        "kind": "hashedrekord",
        "apiVersion": "0.0.1",
        "spec": { "signature": signature, "data": { "hash": hash } },
    })
    .to_string()
}

fn v2_request(key: &SigningKey, message: &[u8]) -> String {
    let raw_bytes = STANDARD.encode(key.public_key().spki_der());
    let verifier = json!({
        "keyDetails": "PKIX_ECDSA_P256_SHA_256",
        "publicKey": { "rawBytes": raw_bytes },
    });
    let content = STANDARD.encode(key.sign(message).unwrap());
    json!({ "hashedRekordRequestV002": {
        "digest": STANDARD.encode(crypto::sha256(message)),
        "signature": { "content": content, "verifier": verifier },
    } })
    .to_string()
}

/// Writes without end; tells `promises` what was acknowledged and `count` that it was.
fn write_until_killed(
    address: &str,
    is_v1: bool,
    name: &str,
    count: &AtomicUsize,
    promises: &mpsc::Sender<Promise>,
) {
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let Some(mut connection) = Connection::open(address) else {
        return;
    };
    for number in 0_u32.. {
        let message = format!("{name} {number}");
        let (path, body) = if is_v1 {
            (V1_ENTRIES, v1_proposal(&key, message.as_bytes()))
        } else {
            (V2_ENTRIES, v2_request(&key, message.as_bytes()))
        };
        let Some((status, answer)) = connection.send("POST", path, &body) else {
            return;
        };
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&answer));
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let promise = if is_v1 {
            let (id, entry) = answer.as_object().unwrap().iter().next().unwrap();
            Promise::V1 {
                id: id.clone(),
                entry: entry.clone(),
            }
        } else {
            let checkpoint = &answer["inclusionProof"]["checkpoint"]["envelope"];
            Promise::V2 {
                request: body,
                index: answer["logIndex"].as_str().unwrap().to_owned(),
                checkpoint: checkpoint.as_str().unwrap().to_owned(),
            }
        };
        count.fetch_add(1, Ordering::SeqCst);
        promises.send(promise).unwrap();
    }
}

/// Lets clients write to both logs, and kills the program after `strike` acknowledgements.
fn write_and_kill(program: Program, cycle: usize, strike: usize) -> Vec<Promise> {
    let count = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = mpsc::channel();
    let mut clients = Vec::new();
    for client in 0..CLIENTS * 2 {
        let is_v1 = client % 2 == 0;
        let address = if is_v1 {
            program.v1.clone()
        } else {
            program.v2.clone()
        };
        let (count, sender) = (Arc::clone(&count), sender.clone());
        let name = format!("{cycle}/{client}");
        clients.push(thread::spawn(move || {
            write_until_killed(&address, is_v1, &name, &count, &sender);
        }));
    }
    drop(sender);
    let mut promises = Vec::new();
    let mut program = Some(program);
    for promise in &receiver {
        promises.push(promise);
        if count.load(Ordering::SeqCst) >= strike
            && let Some(program) = program.take()
        {
            program.kill();
        }
    }
    for client in clients {
        client.join().unwrap();
    }
    promises
}

/// The promise verifies under the log's key and names the entry that the log serves.
fn check_v1(connection: &mut Connection, key: &PublicKey, id: &str, promised: &Value) {
    let served = connection.get(&format!("{V1_ENTRIES}/{id}"));
    for member in ["body", "integratedTime", "logID", "logIndex"] {
        assert_eq!(served[id][member], promised[member], "{member}");
    }
    let body = STANDARD.decode(promised["body"].as_str().unwrap()).unwrap();
    let time = promised["integratedTime"].as_i64().unwrap();
    let index = promised["logIndex"].as_u64().unwrap();
    let set = entry::set_payload(&body, time, promised["logID"].as_str().unwrap(), index);
    let signature = promised["verification"]["signedEntryTimestamp"]
        .as_str()
        .unwrap();
    key.verify(
        HashAlgorithm::Sha256,
        &set,
        &STANDARD.decode(signature).unwrap(),
    )
    .unwrap();
}

/// Tree size and root of a v1 checkpoint's text.
fn size_and_root(checkpoint: &str) -> (u64, [u8; 32]) {
    let mut lines = checkpoint.lines().skip(1);
    let size = lines.next().unwrap().parse().unwrap();
    let root = STANDARD.decode(lines.next().unwrap()).unwrap();
    (size, root.try_into().unwrap())
}

/// The largest tree that v1 clients were shown, led to the present one by a consistency proof.
fn check_consistency(connection: &mut Connection, seen: Option<(u64, [u8; 32])>) {
    let Some((old_size, old_root)) = seen.filter(|(size, _)| *size > 0) else {
        return;
    };
    let log = connection.get("/api/v1/log");
    let (size, root) = size_and_root(log["signedTreeHead"].as_str().unwrap());
    assert!(size >= old_size, "the log has shrunk");
    let path = format!("/api/v1/log/proof?firstSize={old_size}&lastSize={size}");
    let hash = |value: &Value| -> [u8; 32] {
        hex::decode(value.as_str().unwrap())
            .unwrap()
            .try_into()
            .unwrap()
    };
    let proof = connection.get(&path);
    let hashes: Vec<[u8; 32]> = proof["hashes"]
        .as_array()
        .unwrap()
        .iter()
        .map(hash)
        .collect();
    merkle::verify_consistency(old_size, size, &old_root, &root, &hashes).unwrap();
}

#[test]
fn every_promise_of_both_logs_outlives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    let mut key: Option<PublicKey> = None;
    // Where to strike is a fixed sequence: what happens at each point is up to the machine.
    let mut seed = 0x9e37_79b9_u32;
    let mut seen: Option<(u64, [u8; 32])> = None;
    let mut promises = Vec::new();
    for cycle in 0..=CYCLES {
        let program = Program::start(dir.path());
        let mut v1 = Connection::open(&program.v1).unwrap();
        let mut v2 = Connection::open(&program.v2).unwrap();
        let pem = v1.send("GET", "/api/v1/log/publicKey", "").unwrap().1;
        let now = PublicKey::from_pem(&String::from_utf8(pem).unwrap()).unwrap();
        let key = key.get_or_insert_with(|| now.clone());
        assert_eq!(*key, now);
        check_consistency(&mut v1, seen);
        for promise in promises.drain(..) {
            acknowledged += 1;
            match promise {
                Promise::V1 { id, entry } => {
                    check_v1(&mut v1, key, &id, &entry);
                    let proof = &entry["verification"]["inclusionProof"];
                    seen = seen.max(Some(size_and_root(proof["checkpoint"].as_str().unwrap())));
                }
                Promise::V2 {
                    request,
                    index,
                    checkpoint,
                } => {
                    let (status, answer) = v2.send("POST", V2_ENTRIES, &request).unwrap();
                    assert_eq!(status, 409, "an acknowledged entry is known");
                    let answer = String::from_utf8(answer).unwrap();
                    assert!(
                        answer.contains(&format!("with index {index}\"")),
                        "{answer}"
                    );
                    assert!(checkpoint.starts_with("localhost\n"));
                }
            }
        }
        if cycle == CYCLES {
            program.kill();
            break;
        }
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let strike = 1 + seed as usize % 60;
        promises = write_and_kill(program, cycle, strike);
    }
    assert!(
        acknowledged > CYCLES,
        "clients were served between the kills"
    );
}
