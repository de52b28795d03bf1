//! Says when the network comes back: a link that runs again, a new address, a new route.
//!
//! The kernel tells everybody (rtnetlink(7)). Where it does not, in a sandbox say, nothing is heard, and everything else is
//! as it was: what failed is tried again after its time.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;

use async_io::Async;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};

/// `RTMGRP_*` of linux/rtnetlink.h: links, addresses and routes of both families.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

/// `RTM_*` of linux/rtnetlink.h.
const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;

/// `struct nlmsghdr`: length, type, flags, sequence, port.
const HEADER: usize = 16;
/// `struct ifinfomsg`: family, padding, type, index, flags, change.
const LINK: usize = 16;
/// `IFF_RUNNING`: it has a carrier.
const RUNNING: u32 = 0x40;

/// More than one message of the kernel ever needs; several come in one datagram.
const ROOM: usize = 32 * 1024;

/// Hears what becomes of the network.
pub(super) struct NetworkWatch {
    /// Not tokio's `AsyncFd`, which takes only the unsafe promise of its caller.
    socket: Async<OwnedFd>,
    links: Links,
}

impl NetworkWatch {
    /// Begins to listen.
    pub(super) fn new() -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            // `NETLINK_ROUTE`, which is zero.
            None,
        )?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(Self {
            socket: Async::new(socket)?,
            links: Links::default(),
        })
    }

    /// Waits until the network may have come back. All that is heard at once is one return.
    pub(super) async fn returned(&mut self) -> io::Result<()> {
        loop {
            self.socket.readable().await?;
            if self.heard()? {
                return Ok(());
            }
        }
    }

    /// Takes what was told; true if it may be a return.
    fn heard(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; ROOM];
        let mut returned = false;
        loop {
            match rustix::net::recv(&self.socket, buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((_, length)) => returned |= self.links.is_return(&buffer[..length.min(ROOM)]),
                Err(Errno::WOULDBLOCK) => return Ok(returned),
                Err(Errno::INTR) => {}
                // So much happened that some of it was lost: anything may have returned.
                Err(Errno::NOBUFS) => returned = true,
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// The links that have a carrier, as far as they were heard of.
#[derive(Debug, Default)]
struct Links(HashSet<u32>);

impl Links {
    /// Whether any message of a datagram may mean that the network returned.
    fn is_return(&mut self, mut datagram: &[u8]) -> bool {
        let mut returned = false;
        while let Some(length) = number(datagram, 0) {
            let Some(message) = usize::try_from(length)
                .ok()
                .filter(|length| *length >= HEADER)
                .and_then(|length| datagram.get(..length))
            else {
                break;
            };
            returned |= self.is_one(message);
            // Each begins at a multiple of four.
            let next = message.len().next_multiple_of(4).min(datagram.len());
            datagram = &datagram[next..];
        }
        returned
    }

    fn is_one(&mut self, message: &[u8]) -> bool {
        let kind = u16::from_ne_bytes([message[4], message[5]]);
        match kind {
            NEW_ADDRESS | NEW_ROUTE => true,
            NEW_LINK | DEL_LINK => {
                let Some(body) = message.get(HEADER..HEADER + LINK) else {
                    return false;
                };
                let (Some(index), Some(flags)) = (number(body, 4), number(body, 8)) else {
                    return false;
                };
                if kind == NEW_LINK && flags & RUNNING != 0 {
                    // Told for every trifle: only the first time counts.
                    return self.0.insert(index);
                }
                self.0.remove(&index);
                false
            }
            _ => false,
        }
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut message = u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(body);
        while message.len() % 4 != 0 {
            message.push(0);
        }
        message
    }

    fn link(kind: u16, index: u32, flags: u32) -> Vec<u8> {
        let mut body = vec![0; 4];
        body.extend(index.to_ne_bytes());
        body.extend(flags.to_ne_bytes());
        body.extend([0xff; 4]);
        message(kind, &body)
    }

    #[test]
    fn a_link_that_runs_again_an_address_and_a_route_are_a_return_and_nothing_else_is() {
        let mut links = Links::default();
        assert!(links.is_return(&link(NEW_LINK, 2, RUNNING | 1)));
        assert!(!links.is_return(&link(NEW_LINK, 2, RUNNING | 3)), "it ran before");
        assert!(!links.is_return(&link(NEW_LINK, 2, 1)), "it lost its carrier");
        assert!(links.is_return(&link(NEW_LINK, 2, RUNNING)));
        assert!(!links.is_return(&link(DEL_LINK, 2, RUNNING)));
        assert!(links.is_return(&message(NEW_ADDRESS, &[0; 8])));
        assert!(links.is_return(&message(NEW_ROUTE, &[0; 13])));
        assert!(!links.is_return(&message(25, &[0; 12])), "a route that goes");
        let both = [message(25, &[0; 13]), message(NEW_ROUTE, &[])].concat();
        assert!(links.is_return(&both), "the second message of a datagram");
    }

    #[test]
    fn broken_messages_end_the_reading() {
        let mut links = Links::default();
        for broken in [
            &[][..],
            &[1],
            &[0; 16],
            &[255; 64],
            &link(NEW_LINK, 1, RUNNING)[..20],
        ] {
            assert!(!links.is_return(broken), "{broken:?}");
        }
        let mut short = link(NEW_LINK, 1, RUNNING);
        short[..4].copy_from_slice(&20_u32.to_ne_bytes());
        assert!(!links.is_return(&short));
    }

    #[tokio::test]
    async fn listening_does_no_harm() {
        // Where the kernel does not permit it, there is nothing to listen to.
        if let Ok(mut watch) = NetworkWatch::new() {
            assert!(watch.heard().is_ok());
        }
    }
}
