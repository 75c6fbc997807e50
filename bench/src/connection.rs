//! One kept-alive connection, one request at a time.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::answer::Answer;

const READ_BYTES: usize = 16 * 1024;

pub struct Connection {
    stream: TcpStream,
    incoming: Box<[u8]>,
    answer: Answer,
}

impl Connection {
    pub async fn open(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr)
            .await
            .with_context(|| format!("no connection to {addr}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            incoming: vec![0; READ_BYTES].into(),
            answer: Answer::default(),
        })
    }

    /// Sends a request and reads its answer.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<&Answer> {
        self.send(request).await?;
        while !self.answer.is_complete() {
            self.receive().await?;
        }
        Ok(&self.answer)
    }

    /// Sends a request whose answer is read piece by piece.
    pub async fn send(&mut self, request: &[u8]) -> Result<()> {
        self.answer.clear();
        Ok(self.stream.write_all(request).await?)
    }

    /// Reads what there is, waiting until there is something.
    pub async fn receive(&mut self) -> Result<&mut Answer> {
        let length = self.stream.read(&mut self.incoming).await?;
        if length == 0 {
            bail!("the server closed the connection");
        }
        let bytes = self.incoming.get(..length).unwrap_or_default();
        if self.answer.take(bytes)? < length {
            bail!("the server sent more than one answer");
        }
        Ok(&mut self.answer)
    }
}
