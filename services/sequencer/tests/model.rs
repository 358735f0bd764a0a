//! Any sequence of appends, failed writes, and restarts against a list: RELIABILITY B3.

mod world;

use std::{collections::BTreeMap, sync::Arc};

use merkle::Frontier;
use proptest::prelude::*;
use runtime::{Blobs, Failure, FaultyBlobs, MemoryBlobs};
use sequencer::{Fatal, Log, LogConfig, fsck_stores};
use world::{World, entry};

#[derive(Clone, Debug)]
enum Step {
    /// Append so many new entries at the same time.
    Append(u32),
    /// Append an entry that was tried before.
    Again(prop::sample::Index),
    /// Let a coming write fail.
    Fail {
        at: usize,
        after: usize,
        stored: bool,
    },
    Restart,
}

const PLACES: [&str; 6] = [
    "staging",
    "record",
    "tree/tile/entries",
    "tree/tile/0",
    "extra",
    "tree/checkpoint",
];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u32..90).prop_map(Step::Append),
        2 => any::<prop::sample::Index>().prop_map(Step::Again),
        2 => (0..PLACES.len(), 0_usize..3, any::<bool>())
            .prop_map(|(at, after, stored)| Step::Fail { at, after, stored }),
        1 => Just(Step::Restart),
    ]
}

struct Model {
    world: World,
    data: Arc<FaultyBlobs>,
    head: Arc<FaultyBlobs>,
    /// Entries that were acknowledged, and where.
    acknowledged: BTreeMap<u32, u64>,
    /// Entries tried so far.
    tried: u32,
}

impl Model {
    fn new() -> Self {
        Self {
            world: World::new(),
            data: Arc::new(FaultyBlobs::new(Arc::new(MemoryBlobs::default()))),
            head: Arc::new(FaultyBlobs::new(Arc::new(MemoryBlobs::default()))),
            acknowledged: BTreeMap::new(),
            tried: 0,
        }
    }

    fn open(&self) -> Log {
        let (data, head) = (self.data.clone(), self.head.clone());
        let mut config = LogConfig::over(data, head, self.world.signer(), self.world.clock.clone());
        config.fatal = Fatal::new(|cause| panic!("nothing here is fatal: {cause}"));
        Log::open(config).expect("opens after whatever happened")
    }

    async fn append(&mut self, log: &Log, numbers: Vec<u32>) {
        let tasks: Vec<_> = numbers
            .iter()
            .map(|number| {
                let (log, entry) = (log.clone(), entry(*number));
                tokio::spawn(async move { log.append(entry).await })
            })
            .collect();
        for (number, task) in numbers.into_iter().zip(tasks) {
            if let Ok(appended) = task.await.expect("no panic") {
                let known = self.acknowledged.insert(number, appended.leaf_index);
                assert!(
                    known.is_none_or(|known| known == appended.leaf_index),
                    "moved"
                );
                self.world.verify(&appended.head.checkpoint);
            }
        }
    }

    fn clear(&self) {
        self.data.clear();
        self.head.clear();
    }

    /// Compares the log with the list of what was acknowledged, and with itself.
    fn check(&self, log: &Log) {
        let head = log.head();
        let mut frontier = Frontier::new();
        let mut seen = BTreeMap::new();
        for index in 0..head.tree_size {
            let (leaf, extra) = log.leaf(index).expect("readable");
            let text = String::from_utf8(leaf.clone()).expect("text");
            let number: u32 = text["leaf ".len()..].parse().expect("an entry of ours");
            assert_eq!(extra, entry(number).extra);
            assert!(seen.insert(number, index).is_none(), "{number} twice");
            frontier
                .append(merkle::leaf_hash(&leaf), |_, _, _| {})
                .expect("small");
        }
        assert_eq!(frontier.root(), head.root_hash);
        for (number, index) in &self.acknowledged {
            assert_eq!(seen.get(number), Some(index), "acknowledged");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acknowledged_is_lost_or_moved(steps in prop::collection::vec(step(), 1..14)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut model = Model::new();
            let mut log = model.open();
            for step in steps {
                match step {
                    Step::Append(count) => {
                        let numbers = (model.tried..model.tried + count).collect();
                        model.tried += count;
                        model.append(&log, numbers).await;
                    }
                    Step::Again(which) if model.tried > 0 => {
                        let number = which.index(model.tried as usize) as u32;
                        model.append(&log, vec![number]).await;
                    }
                    Step::Again(_) => {}
                    Step::Fail { at, after, stored } => {
                        let prefix = PLACES[at].to_owned();
                        let store = if PLACES[at] == "record" { &model.head } else { &model.data };
                        store.fail(Failure { prefix, after, times: 1, stored });
                    }
                    Step::Restart => {
                        // A start that cannot write fails, and nothing is lost by that.
                        model.clear();
                        drop(log);
                        log = model.open();
                        model.check(&log);
                    }
                }
            }
            model.clear();
            let number = model.tried;
            model.append(&log, vec![number]).await;
            assert!(model.acknowledged.contains_key(&number), "it heals by itself");
            model.check(&log);
            drop(log);
            let report = fsck_stores(&*model.data, &*model.head, &[], &mut |_| {}).expect("everything holds");
            assert!(!report.unfinished);
            assert!(model.data.get("tree/checkpoint").expect("readable").is_some());
        });
    }
}
