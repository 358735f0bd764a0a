//! A mutator that knows the shapes of its seeds: JSON values, base64 inside them, DER lengths, raw bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Longest input; what is longer is cut.
const INPUT_MAX: usize = 256 << 10;

/// Numbers at the edges of what parsers hold them in.
const NUMBERS: [&str; 10] = [
    "0",
    "-1",
    "1",
    "255",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "1e308",
];

/// Changes seeds, the same way for the same start.
pub(crate) struct Mutator {
    state: u64,
    seeds: Vec<Vec<u8>>,
}

impl Mutator {
    pub(crate) fn new(start: u64, seeds: Vec<Vec<u8>>) -> Self {
        Self {
            state: start,
            seeds,
        }
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random() % bound as u64).expect("below a usize")
    }

    fn seed(&mut self) -> Vec<u8> {
        let at = self.below(self.seeds.len());
        self.seeds[at].clone()
    }

    /// A seed with one to four changes.
    pub(crate) fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.seed();
        for _ in 0..=self.below(4) {
            input = match serde_json::from_slice::<Value>(&input) {
                Ok(value) if self.below(8) != 0 => self.change_json(value),
                _ => self.change_bytes(input),
            };
            input.truncate(INPUT_MAX);
        }
        input
    }

    fn change_json(&mut self, mut whole: Value) -> Vec<u8> {
        let mut places = Vec::new();
        pointers(&whole, String::new(), &mut places);
        let place = places[self.below(places.len())].clone();
        let other = places[self.below(places.len())].clone();
        let replacement = match self.below(8) {
            0 => self.number(),
            1 => [
                Value::Null,
                true.into(),
                "".into(),
                Value::Array(Vec::new()),
            ][self.below(4)]
            .clone(),
            2 => whole.pointer(&other).cloned().unwrap_or_default(),
            3 => return self.say_twice(&whole, &place),
            _ => {
                let value = whole.pointer(&place).cloned().unwrap_or_default();
                self.change_value(value)
            }
        };
        if self.below(10) == 0 {
            remove(&mut whole, &place);
        } else if let Some(value) = whole.pointer_mut(&place) {
            *value = replacement;
        }
        whole.to_string().into_bytes()
    }

    fn number(&mut self) -> Value {
        let text = NUMBERS[self.below(NUMBERS.len())];
        if self.below(2) == 0 {
            text.into()
        } else {
            serde_json::from_str(text).unwrap_or_default()
        }
    }

    /// A text is changed in what it is the base64 of, if it is; a list in its length; a number a little.
    fn change_value(&mut self, value: Value) -> Value {
        match value {
            Value::String(text) => {
                let bytes = STANDARD
                    .decode(&text)
                    .ok()
                    .filter(|bytes| !bytes.is_empty());
                match bytes {
                    Some(bytes) if self.below(5) != 0 => {
                        let inside = serde_json::from_slice::<Value>(&bytes).ok();
                        let changed = match inside.filter(|inside| !inside.is_number()) {
                            Some(inside) => self.change_json(inside),
                            None => self.change_bytes(bytes),
                        };
                        STANDARD.encode(changed).into()
                    }
                    _ => {
                        let changed = self.change_bytes(text.into_bytes());
                        String::from_utf8_lossy(&changed).into_owned().into()
                    }
                }
            }
            Value::Array(mut list) if !list.is_empty() => {
                let at = self.below(list.len());
                if self.below(2) == 0 {
                    list.remove(at);
                } else {
                    list.push(list[at].clone());
                }
                list.into()
            }
            Value::Number(number) => {
                let near = number.as_i64().unwrap_or_default().wrapping_add(1);
                near.into()
            }
            other => other,
        }
    }

    /// The same key twice in an object; parsers differ about which counts.
    fn say_twice(&mut self, whole: &Value, place: &str) -> Vec<u8> {
        let text = whole.to_string();
        let key = place.rsplit('/').next().unwrap_or_default();
        let spelled = format!("\"{key}\":");
        let again = format!("{spelled}{},{spelled}", NUMBERS[self.below(NUMBERS.len())]);
        text.replacen(&spelled, &again, 1).into_bytes()
    }

    fn change_bytes(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        if bytes.is_empty() {
            return vec![self.random().to_le_bytes()[0]];
        }
        let at = self.below(bytes.len());
        match self.below(9) {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = [0, 1, 0x30, 0x7f, 0x80, 0x82, 0x84, 0xff][self.below(8)],
            2 => bytes.truncate(at),
            3 => {
                bytes.remove(at);
            }
            4 => bytes.insert(at, self.random().to_le_bytes()[0]),
            5 => {
                let end = at + self.below((bytes.len() - at).min(64)) + 1;
                let piece = bytes[at..end.min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            6 => {
                let other = self.seed();
                if !other.is_empty() {
                    let from = self.below(other.len());
                    let end = (from + 64).min(other.len());
                    bytes.splice(at..at, other[from..end].iter().copied());
                }
            }
            7 => self.change_length(&mut bytes, at),
            _ => {
                let end = (at + 4).min(bytes.len());
                let random = self.random().to_le_bytes();
                for (byte, new) in bytes[at..end].iter_mut().zip(random) {
                    *byte = new;
                }
            }
        }
        bytes
    }

    /// Makes a DER length at or behind `at` longer, shorter or absurd.
    fn change_length(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let tag = |byte: &u8| matches!(byte, 0x02..=0x06 | 0x30 | 0x31 | 0xa0..=0xa3);
        let Some(found) = bytes[at..].iter().position(tag) else {
            return;
        };
        let length = at + found + 1;
        if let Some(byte) = bytes.get_mut(length) {
            match self.below(4) {
                0 => *byte = byte.wrapping_add(1),
                1 => *byte = byte.wrapping_sub(1),
                2 => *byte = 0x80,
                _ => {
                    bytes.splice(length..=length, [0x84, 0xff, 0xff, 0xff, 0xff]);
                }
            }
        }
    }
}

/// Every place in a document, itself among them.
fn pointers(value: &Value, place: String, found: &mut Vec<String>) {
    match value {
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                pointers(value, format!("{place}/{index}"), found);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers(value, format!("{place}/{key}"), found);
            }
        }
        _ => {}
    }
    found.push(place);
}

fn remove(whole: &mut Value, place: &str) {
    let Some((parent, last)) = place.rsplit_once('/') else {
        return;
    };
    match whole.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.remove(last);
        }
        Some(Value::Array(list)) => {
            if let Some(index) = last.parse().ok().filter(|index| *index < list.len()) {
                list.remove(index);
            }
        }
        _ => {}
    }
}
