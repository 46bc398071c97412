//! ringfire: records of fixed size, copied in and out; and blobs, written and viewed in place.

use crate::transport::{DEPTH, Opts, Rx, Tx};
use anyhow::{Result, ensure};
use ringfire::{BlobConsumer, BlobProducer, BlobProducerBuilder, FutexWait, RingConsumer, RingProducer, WaitStrategy};

fn path(name: &str) -> String {
    format!("/dev/shm/{name}")
}

/// Records of `WORDS` words.
pub(crate) struct FixedTx<const WORDS: usize> {
    producer: RingProducer<[u64; WORDS]>,
    record: Box<[u64; WORDS]>,
}

impl<const WORDS: usize> Tx for FixedTx<WORDS> {
    fn create(name: &str, opts: &Opts) -> Result<Self> {
        ensure!(opts.bytes == WORDS * 8, "the record has {WORDS} words");
        Ok(Self { producer: RingProducer::create(path(name), DEPTH as u64)?, record: Box::new([0; WORDS]) })
    }

    fn send(&mut self, _words: usize, mut write: impl FnMut(usize, &mut [u64])) -> Result<()> {
        write(0, &mut self.record[..]);
        self.producer.push(&self.record);
        Ok(())
    }
}

pub(crate) struct FixedRx<const WORDS: usize> {
    consumer: RingConsumer<[u64; WORDS]>,
    wait: FutexWait,
}

impl<const WORDS: usize> Rx for FixedRx<WORDS> {
    fn open(name: &str, _opts: &Opts) -> Result<Self> {
        Ok(Self { consumer: RingConsumer::attach(path(name))?, wait: FutexWait::default() })
    }

    fn try_recv<R>(&mut self, mut read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        Ok(self.consumer.try_recv().map(|record| read(&record)))
    }

    fn recv_blocking<R>(&mut self, mut read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        let record = self.consumer.recv_blocking(&mut self.wait);
        self.wait.reset();
        Ok(Some(read(&record)))
    }
}

pub(crate) struct BlobTx(BlobProducer<()>);

impl Tx for BlobTx {
    fn create(name: &str, opts: &Opts) -> Result<Self> {
        let arena = (opts.bytes * DEPTH).next_power_of_two();
        Ok(Self(BlobProducerBuilder::new(DEPTH as u64, arena).build(path(name))?))
    }

    fn send(&mut self, words: usize, mut write: impl FnMut(usize, &mut [u64])) -> Result<()> {
        self.0.push_with(&(), words * 8, |bytes| write(0, bytemuck::cast_slice_mut(bytes)))?;
        Ok(())
    }
}

pub(crate) struct BlobRx(BlobConsumer<()>);

impl Rx for BlobRx {
    fn open(name: &str, _opts: &Opts) -> Result<Self> {
        Ok(Self(BlobConsumer::attach(path(name))?))
    }

    fn try_recv<R>(&mut self, mut read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        Ok(self.0.view(|(), bytes| read(bytemuck::cast_slice(bytes)))?)
    }
}
