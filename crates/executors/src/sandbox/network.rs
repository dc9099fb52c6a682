//! The network within the walls: a loopback device, and listeners at it for what was granted. Sockets belong to the namespace they were
//! made in, whoever accepts from them: they are handed out to a process that has the machine's network.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};

use model::EgressGrant;
use model::ticket::is_loopback;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    SocketType, recvmsg, sendmsg,
};

use super::{Built, Step};

/// Where the proxy is, inside.
pub(crate) const PROXY_PORT: u16 = 3128;

/// The addresses that granted hosts have inside.
pub(super) fn names(grants: &[EgressGrant]) -> Vec<(Ipv4Addr, &str)> {
    let mut hosts: Vec<&str> = grants.iter().map(|grant| grant.host.as_str()).collect();
    hosts.dedup();
    let hosts = hosts.into_iter().filter(|host| !is_loopback(host) && !host.starts_with('*') && host.parse::<IpAddr>().is_err());
    hosts.enumerate().map(|(number, host)| (Ipv4Addr::new(127, 0, 1, (number + 1) as u8), host)).collect()
}

/// What a listener inside leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leads {
    /// The proxy: whoever connects says where to.
    Anywhere,
    /// One place.
    To(EgressGrant),
}

/// The listeners that grants ask for, in the order they are handed out.
pub(super) fn listeners(grants: &[EgressGrant]) -> Vec<(SocketAddr, Leads)> {
    if grants.is_empty() {
        return Vec::new();
    }
    let mut all = vec![(SocketAddr::from((Ipv4Addr::LOCALHOST, PROXY_PORT)), Leads::Anywhere)];
    let names = names(grants);
    for grant in grants {
        let named = names.iter().find(|(_, host)| *host == grant.host).map(|(address, _)| IpAddr::V4(*address));
        let own = grant.host.parse::<IpAddr>().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let at = if is_loopback(&grant.host) { Some(own) } else { named };
        all.extend(at.map(|at| (SocketAddr::from((at, grant.port)), Leads::To(grant.clone()))));
    }
    all
}

/// Brings the loopback device up.
pub(super) fn bring_up() -> Built<()> {
    set_up().step(|| "bringing the loopback device up".into())
}

fn set_up() -> io::Result<()> {
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    // `nlmsghdr` and `ifinfomsg`: set the flag "up" of the first device, which is the loopback device, and say how it went.
    let (length, kind, flags, up) =
        (32_u32, libc::RTM_NEWLINK, (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16, libc::IFF_UP as u32);
    let mut message = Vec::with_capacity(32);
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([0; 4]);
    message.extend(1_i32.to_ne_bytes());
    message.extend(up.to_ne_bytes());
    message.extend(up.to_ne_bytes());
    rustix::net::send(&socket, &message, SendFlags::empty())?;
    let mut answer = [0_u8; 128];
    let (count, _) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty())?;
    // The error stands after the header: zero, or a negative number.
    let error = answer.get(16..20).filter(|_| count >= 20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match error {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(-error)),
        None => Err(io::Error::other("the answer is too short")),
    }
}

/// Opens the listeners inside and hands them out.
pub(super) fn hand_out(grants: &[EgressGrant], to: &OwnedFd) -> Built<()> {
    for (address, _) in listeners(grants) {
        let listener = TcpListener::bind(address).step(|| format!("listening at {address} inside"))?;
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let files = [listener.as_fd()];
        ancillary.push(SendAncillaryMessage::ScmRights(&files));
        sendmsg(to, &[io::IoSlice::new(&[1])], &mut ancillary, SendFlags::empty()).step(|| "handing a listener out".into())?;
    }
    Ok(())
}

/// Takes the listeners in, as many as there should be. An end before that says that the walls could not be built.
pub(super) fn take_in(grants: &[EgressGrant], from: &OwnedFd) -> io::Result<Vec<(TcpListener, Leads)>> {
    let mut taken = Vec::new();
    for (_, leads) in listeners(grants) {
        let mut byte = [0];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(from, &mut [io::IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        if got.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                taken.extend(files.map(|file| (TcpListener::from(file), leads.clone())));
            }
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(texts: &[&str]) -> Vec<EgressGrant> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn hosts_have_addresses_of_their_own_inside() {
        let grants = grants(&["a.example:80", "a.example:443", "*.b.example", "127.0.0.1:7200", "c.example"]);
        let names = names(&grants);
        assert_eq!(names, [(Ipv4Addr::new(127, 0, 1, 1), "a.example"), (Ipv4Addr::new(127, 0, 1, 2), "c.example")]);
        let at: Vec<String> = listeners(&grants).iter().map(|(at, _)| at.to_string()).collect();
        assert_eq!(at, ["127.0.0.1:3128", "127.0.1.1:80", "127.0.1.1:443", "127.0.0.1:7200", "127.0.1.2:443"]);
        assert!(listeners(&[]).is_empty());
    }
}
