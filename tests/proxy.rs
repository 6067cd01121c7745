//! A proxy that can cut or swallow: what a network does to connections.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::harness::Engine;

/// A slow line waits for so long before each piece that it passes on.
const SLOW: Duration = Duration::from_millis(50);

/// What the proxy does with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Passes it on.
    Open,
    /// Reads it and passes nothing on; connections stay open: half-open, as a peer sees it.
    Swallow,
    /// Swallows on the connections that are there, for ever; new ones are passed on.
    Lost,
    /// Passes on a little at a time.
    Slow,
    /// Closes every connection and takes no new one for longer than a moment.
    Cut,
}

/// Listens on a port of its own and passes on to one server.
pub struct Proxy {
    pub address: SocketAddr,
    line: watch::Sender<Line>,
}

impl Proxy {
    pub async fn to(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (line, watched) = watch::channel(Line::Open);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, watched.clone()));
            }
        });
        Proxy { address, line }
    }

    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// The same engine, whose processes reach the server by this line.
    pub fn engine(&self, engine: &Engine) -> Engine {
        let (broker, client) = (engine.broker.clone(), engine.client.clone());
        let mut settings = engine.settings.clone();
        settings.server = self.url();
        Engine { broker, settings, client }
    }

    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

async fn pass(client: TcpStream, server: SocketAddr, mut line: watch::Receiver<Line>) {
    let mut cut = line.clone();
    if *line.borrow() == Line::Lost {
        // Others were lost: this one is new.
        line = watch::channel(Line::Open).1;
    }
    let both = async {
        let Ok(server) = TcpStream::connect(server).await else { return };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let up = copy(from_client, to_server, line.clone());
        let down = copy(from_server, to_client, line);
        tokio::select! { () = up => {}, () = down => {} }
    };
    tokio::select! {
        () = both => {}
        _ = cut.wait_for(|line| *line == Line::Cut) => {}
    }
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    line: watch::Receiver<Line>,
) {
    let mut buffer = vec![0; 32 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let now = *line.borrow();
        let swallow = matches!(now, Line::Swallow | Line::Lost);
        if now == Line::Slow {
            tokio::time::sleep(SLOW).await;
        }
        if !swallow && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
