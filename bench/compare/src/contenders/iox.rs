//! iceoryx2: a publish-subscribe service of `[u64]`, loaned without initialisation, and an event service for sleepers.

use crate::traces::{IOX_FOLDER, IOX_PREFIX};
use crate::transport::{DEPTH, Opts, Rx, Tx};
use anyhow::{Context, Result};
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::{event, publish_subscribe};
use std::mem::MaybeUninit;
use std::time::Duration;

type Service = ipc::Service;

/// What both ends hold on to.
struct Joined {
    data: publish_subscribe::PortFactory<Service, [u64], ()>,
    event: Option<event::PortFactory<Service>>,
    _node: Node<Service>,
}

fn join(name: &str, opts: &Opts) -> Result<Joined> {
    set_log_level(LogLevel::Error);
    let mut config = Config::default();
    config.global.prefix = IOX_PREFIX.try_into()?;
    config.global.set_root_path(&IOX_FOLDER.try_into()?);
    let node = NodeBuilder::new().config(&config).create::<Service>()?;
    let data = node
        .service_builder(&name.try_into()?)
        .publish_subscribe::<[u64]>()
        .max_nodes(opts.readers + 2)
        .max_publishers(1)
        .max_subscribers(opts.readers)
        .subscriber_max_buffer_size(DEPTH)
        .subscriber_max_borrowed_samples(1)
        .history_size(0)
        .enable_safe_overflow(true)
        .open_or_create()?;
    let event = opts
        .block
        .then(|| {
            node.service_builder(&format!("{name}-bell").as_str().try_into().ok()?)
                .event()
                .max_nodes(opts.readers + 2)
                .max_notifiers(1)
                .max_listeners(opts.readers)
                .open_or_create()
                .ok()
        })
        .map(|e| e.context("no event service"))
        .transpose()?;
    Ok(Joined { data, event, _node: node })
}

pub(crate) struct IoxTx {
    publisher: Publisher<Service, [u64], ()>,
    notifier: Option<Notifier<Service>>,
    _joined: Joined,
}

/// The loaned words as plain ones, for the function that every contender's payload goes through.
fn plain(words: &mut [MaybeUninit<u64>]) -> &mut [u64] {
    // SAFETY: same layout. The words lie in shared memory that was zeroed by the system or written before, so they
    // hold values, and every value is a valid u64.
    unsafe { &mut *(std::ptr::from_mut(words) as *mut [u64]) }
}

impl Tx for IoxTx {
    fn create(name: &str, opts: &Opts) -> Result<Self> {
        let joined = join(name, opts)?;
        let publisher =
            joined.data.publisher_builder().initial_max_slice_len(opts.bytes / 8).max_loaned_samples(1).create()?;
        let notifier = joined.event.as_ref().map(|e| e.notifier_builder().create()).transpose()?;
        Ok(Self { publisher, notifier, _joined: joined })
    }

    fn send(&mut self, words: usize, mut write: impl FnMut(usize, &mut [u64])) -> Result<()> {
        let mut sample = self.publisher.loan_slice_uninit(words)?;
        write(0, plain(sample.payload_mut()));
        // SAFETY: see `plain`.
        let sample = unsafe { sample.assume_init() };
        sample.send()?;
        if let Some(notifier) = &self.notifier {
            notifier.notify()?;
        }
        Ok(())
    }
}

pub(crate) struct IoxRx {
    subscriber: Subscriber<Service, [u64], ()>,
    listener: Option<Listener<Service>>,
    _joined: Joined,
}

impl Rx for IoxRx {
    fn open(name: &str, opts: &Opts) -> Result<Self> {
        let joined = join(name, opts)?;
        let subscriber = joined.data.subscriber_builder().create()?;
        let listener = joined.event.as_ref().map(|e| e.listener_builder().create()).transpose()?;
        Ok(Self { subscriber, listener, _joined: joined })
    }

    fn try_recv<R>(&mut self, mut read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        Ok(self.subscriber.receive()?.map(|sample| read(sample.payload())))
    }

    fn recv_blocking<R>(&mut self, mut read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        if let Some(sample) = self.subscriber.receive()? {
            return Ok(Some(read(sample.payload())));
        }
        let listener = self.listener.as_ref().context("opened without event")?;
        listener.timed_wait(|_| {}, Duration::from_secs(1))?;
        self.try_recv(read)
    }
}
