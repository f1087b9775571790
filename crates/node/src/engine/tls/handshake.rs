//! The TLS handshake, by rustls, up to where our own records begin.

use std::io;
use std::sync::Arc;

use peerage_link::tls;
use peerage_types::PublicKey;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, ExtractedSecrets, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::PeerStream;
use super::layer::{Keys, Layer, RECORD_BYTES_MAX};
use crate::engine::buffer::Pool;

/// Bytes of the other side's handshake that we hold at a time: raw keys make it short.
const INPUT_BYTES_MAX: usize = 2 * RECORD_BYTES_MAX;

/// Dials: the other side must hold the key that `config` expects.
pub(in crate::engine) async fn connect(
    tcp: TcpStream,
    mut config: Arc<ClientConfig>,
    name: ServerName<'static>,
    pool: Arc<Pool>,
) -> io::Result<PeerStream> {
    Arc::make_mut(&mut config).enable_secret_extraction = true;
    let conn = UnbufferedClientConnection::new(config, name).map_err(refused)?;
    Ok(shake(tcp, conn, pool).await?.0)
}

/// Answers: whoever it is, and the key that it has proved.
pub(in crate::engine) async fn accept(
    tcp: TcpStream,
    mut config: Arc<ServerConfig>,
    pool: Arc<Pool>,
) -> io::Result<(PeerStream, Option<PublicKey>)> {
    Arc::make_mut(&mut config).enable_secret_extraction = true;
    let conn = UnbufferedServerConnection::new(config).map_err(refused)?;
    shake(tcp, conn, pool).await
}

/// What rustls tells apart by type.
trait Side: Sized {
    type Data;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn common(&self) -> &CommonState;
    fn into_keys(self) -> Result<(ExtractedSecrets, Keys), rustls::Error>;
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn into_keys(self) -> Result<(ExtractedSecrets, Keys), rustls::Error> {
        let (secrets, keys) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, Keys::Client(Box::new(keys))))
    }
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn into_keys(self) -> Result<(ExtractedSecrets, Keys), rustls::Error> {
        let (secrets, keys) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, Keys::Server(Box::new(keys))))
    }
}

/// What rustls wants next.
enum Step {
    Again,
    Write,
    Read,
}

async fn shake<S: Side>(
    mut tcp: TcpStream,
    mut conn: S,
    pool: Arc<Pool>,
) -> io::Result<(PeerStream, Option<PublicKey>)> {
    let (mut input, mut output) = (Vec::new(), Vec::new());
    // What comes right behind the handshake, when rustls has opened it.
    let mut early = Vec::new();
    loop {
        let step = match turn(&mut conn, &mut input, &mut output, &mut early) {
            Ok(step) => step,
            Err(error) => {
                // The alert says why; if it does not go out at once, the other side has to guess.
                while let Ok(Step::Again) = turn(&mut conn, &mut input, &mut output, &mut early) {}
                let _ = tcp.try_write(&output);
                return Err(error);
            }
        };
        match step {
            Step::Again => continue,
            Step::Write => tcp.write_all(&std::mem::take(&mut output)).await?,
            Step::Read if !conn.common().is_handshaking() => break,
            Step::Read if input.len() >= INPUT_BYTES_MAX => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a TLS handshake that does not end"));
            }
            Step::Read => {
                if tcp.read_buf(&mut input).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
    let key = tls::peer_key(conn.common());
    let (secrets, keys) = conn.into_keys().map_err(refused)?;
    let layer =
        Layer::new(&secrets, keys).map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?;
    Ok((PeerStream::new(tcp, layer, pool, early, input), key))
}

/// One step of rustls; takes from `input` what it has used.
fn turn<S: Side>(
    conn: &mut S,
    input: &mut Vec<u8>,
    output: &mut Vec<u8>,
    early: &mut Vec<u8>,
) -> io::Result<Step> {
    let UnbufferedStatus { discard, state } = conn.process(input);
    let step = match state.map_err(refused) {
        Ok(ConnectionState::EncodeTlsData(data)) => encode(data, output).map(|()| Step::Again),
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Step::Write)
        }
        Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => Ok(Step::Read),
        Ok(ConnectionState::ReadTraffic(mut data)) => loop {
            match data.next_record() {
                Some(Ok(record)) => early.extend_from_slice(record.payload),
                Some(Err(error)) => break Err(refused(error)),
                None => break Ok(Step::Again),
            }
        },
        // Closed, or something that we have not switched on.
        Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(error) => Err(error),
    };
    // After an error, too: rustls has gone on in what it keeps for itself.
    input.drain(..discard.min(input.len()));
    step
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, output: &mut Vec<u8>) -> io::Result<()> {
    let at = output.len();
    output.resize(at + RECORD_BYTES_MAX, 0);
    let mut encoded = data.encode(&mut output[at..]);
    if let Err(EncodeError::InsufficientSize(size)) = &encoded {
        output.resize(at + size.required_size, 0);
        encoded = data.encode(&mut output[at..]);
    }
    let len = encoded.map_err(io::Error::other)?;
    output.truncate(at + len);
    Ok(())
}

fn refused(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
