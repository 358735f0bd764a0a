//! The threads that a lab runs on: nothing of it depends on the executor of the test.

use std::{
    collections::BTreeMap,
    thread::{self, JoinHandle},
};

use anyhow::Context as _;
use runtime::{Clock, settings::Settings};
use stack::Stack;
use tokio::{runtime::Handle, sync::oneshot};

/// What is known of a lab once it serves.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) admin: String,
    pub(crate) urls: BTreeMap<(String, String), String>,
    pub(crate) instance: String,
    handle: Handle,
}

/// The threads of a running lab. Dropping the value stops the lab and waits for its end.
#[derive(Debug)]
pub(crate) struct Reactor {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Reactor {
    /// Starts a lab on threads of its own and waits until it is ready.
    pub(crate) async fn start(settings: Settings, clock: Clock) -> anyhow::Result<(Self, Served)> {
        let (started, ready) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("siglab".to_owned())
            .spawn(move || run(settings, clock, started, stopped))
            .context("no thread for the lab")?;
        let served = ready.await.context("the lab's thread ended")??;
        let reactor = Self {
            handle: served.handle.clone(),
            stop: Some(stop),
            thread: Some(thread),
        };
        Ok((reactor, served))
    }

    /// Runs `work` on the lab's threads; any executor may wait for it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
    ) -> anyhow::Result<T> {
        self.handle
            .spawn(work)
            .await
            .context("the lab was stopped")?
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there was printed by its own thread.
            let _ = thread.join();
        }
    }
}

/// The body of the lab's first thread: until the other side lets go of `stopped`.
fn run(
    settings: Settings,
    clock: Clock,
    started: oneshot::Sender<anyhow::Result<Served>>,
    stopped: oneshot::Receiver<()>,
) {
    let reactor = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("siglab")
        .enable_all()
        .build();
    let reactor = match reactor.context("no threads for the lab") {
        Ok(reactor) => reactor,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    reactor.block_on(async {
        let stack = match Stack::start(settings, clock).await {
            Ok(stack) => stack,
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        let running = stack.running();
        let urls = running.urls.iter().map(|((service, listener), url)| {
            let url = url.as_str().trim_end_matches('/').to_owned();
            ((service.clone(), listener.clone()), url)
        });
        let served = Served {
            admin: stack.admin_url(),
            urls: urls.collect(),
            instance: running.instance.clone(),
            handle: Handle::current(),
        };
        // A test that no longer waits has dropped `stopped` too.
        let _ = started.send(Ok(served));
        let _ = stopped.await;
        stack.stop().await;
    });
}
