//! What a server does when its name is taken away.
#![cfg(target_os = "linux")]

use crate::common::{LIMIT, WORDS, publish, unique, within_limit};
use shmx::error::{BeginError, CreateError, ReadError, ServerEnd};
use shmx::{Client, NameLoss, Server, Stream};
use std::time::Duration;

fn serve(loss: NameLoss) -> (Server, String) {
    let name = unique("names");
    (Server::builder(&name).stream(WORDS, 50).on_name_loss(loss).create().unwrap(), name)
}

fn take_away(name: &str) {
    std::fs::remove_file(format!("/dev/shm/{name}")).unwrap();
}

#[test]
fn a_server_that_publishes_polls_or_waits_notices() {
    for how in 0..3 {
        let (mut server, name) = serve(NameLoss::Warn);
        assert!(server.is_named() && server.name_is_current());
        take_away(&name);
        assert!(server.is_named() && !server.name_is_current(), "it has not asked yet");
        assert!(within_limit(|| {
            match how {
                0 => _ = publish(&mut server, 1),
                1 => _ = server.poll_control(1),
                _ => _ = server.wait_control(1, Duration::from_millis(100)).unwrap(),
            }
            !server.is_named()
        }));
        publish(&mut server, 2);
    }
}

#[test]
fn a_server_ends_if_told() {
    let (mut server, name) = serve(NameLoss::End);
    let mut client = Client::open(&name).unwrap();
    publish(&mut server, 1);
    take_away(&name);
    let mut error = None;
    assert!(within_limit(|| {
        error = server.wait_control(1, Duration::from_millis(100)).err();
        error.is_some()
    }));
    assert_eq!(error, Some(BeginError::NameLost { name: name.clone() }));
    assert_eq!(server.begin_frame().err(), error);
    assert_eq!(server.begin_frame_when_taken(LIMIT).err(), error);
    server.add_stream(Stream::<u8>::new(9, "late")).unwrap();
    assert_eq!(client.next(LIMIT).unwrap().unwrap().frame_id(), 1);
    drop(server);
    assert_eq!(client.next(LIMIT).unwrap_err(), ReadError::ServerGone { end: ServerEnd::Closed });
}

#[test]
fn a_server_comes_back_and_its_readers_go_over() {
    let (mut server, name) = serve(NameLoss::ComeBack);
    server.add_stream(Stream::<u8>::new(9, "late")).unwrap();
    let mut client = Client::options().reconnect(true).open(&name).unwrap();
    let mut leaves = Client::open(&name).unwrap();
    publish(&mut server, 1);
    assert_eq!(client.next(LIMIT).unwrap().unwrap().frame_id(), 1);
    let (before, directory) = (server.session_id(), server.directory());
    take_away(&name);
    assert!(within_limit(|| {
        publish(&mut server, 2);
        while client.next(Duration::ZERO).unwrap().is_some() {}
        server.session_id() != before
    }));
    assert!(server.is_named() && server.name_is_current());
    assert_eq!(server.directory().bytes, directory.bytes);
    publish(&mut server, 3);
    assert!(within_limit(|| client.next(Duration::from_millis(50)).unwrap().is_some_and(|f| f.session_id() != before)));
    assert_eq!(client.reconnects(), 1);
    while leaves.next(Duration::ZERO).is_ok_and(|f| f.is_some()) {}
    assert_eq!(leaves.next(LIMIT).unwrap_err(), ReadError::ServerGone { end: ServerEnd::Closed });
}

#[test]
fn a_name_that_somebody_else_has_is_left_alone_until_it_is_free() {
    let (mut server, name) = serve(NameLoss::ComeBack);
    let before = server.session_id();
    take_away(&name);
    let other = Server::builder(&name).stream(WORDS, 50).create().unwrap();
    assert!(matches!(server.come_back(), Err(CreateError::HeldByLiveServer { .. })));
    assert!(within_limit(|| {
        publish(&mut server, 1);
        !server.is_named()
    }));
    // It goes on for those who have it.
    assert!(publish(&mut server, 2) > 1);
    assert_eq!((server.session_id(), other.name_is_current()), (before, true));
    drop(other);
    assert!(within_limit(|| {
        publish(&mut server, 3);
        server.session_id() != before
    }));
    assert_eq!(Client::open(&name).unwrap().session_id(), server.session_id());
}

#[test]
fn a_shared_server_cannot_come_back_by_itself() {
    let (server, name) = serve(NameLoss::ComeBack);
    let server = server.into_shared();
    take_away(&name);
    assert!(within_limit(|| {
        let _ = server.poll_control(1);
        server.begin_frame().is_err()
    }));
    assert_eq!(server.begin_frame().err(), Some(BeginError::NameLost { name }));
}
