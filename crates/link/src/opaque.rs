//! Passwords without showing them to a tracker: OPAQUE (RFC 9807) over Ristretto255 with TripleDH, SHA-512 and
//! Argon2id.
//!
//! What is wanted here is only the *export key*: 64 bytes that need both the password and a tracker's answer,
//! and that open the [`crate::vault`]. The session key is not used, because the device key is the session. So
//! a login is one round trip (KE1, KE2), and the tracker keeps no state between messages.
//!
//! Messages are plain byte strings on both sides. `finish` on the client stretches the password, which takes
//! 64 MiB and a noticeable fraction of a second: call it where blocking is allowed.

use opaque_ke::argon2::{Algorithm, Argon2, Params, Version};
use opaque_ke::errors::{InternalError, ProtocolError};
use opaque_ke::generic_array::{ArrayLength, GenericArray};
use opaque_ke::ksf::Ksf;

use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialRequest, CredentialResponse, RegistrationRequest,
    RegistrationResponse, Ristretto255, ServerLogin, ServerLoginParameters, ServerRegistration, ServerSetup,
    TripleDh,
};
use peerage_types::UserId;
use rand_core::OsRng;
use zeroize::Zeroizing;

/// Memory that one guess costs, in KiB: 64 MiB (RFC 9106, 4, second recommended option).
pub const STRETCH_KIB: u32 = 64 * 1024;
/// Passes over that memory.
pub const STRETCH_PASSES: u32 = 3;
/// Lanes: one, so that a client with one core is not at a disadvantage.
pub const STRETCH_LANES: u32 = 1;

/// Both sides mix this into the key exchange: another protocol's messages do not fit.
const CONTEXT: &[u8] = b"peerage 2026 opaque";

/// What the password and the tracker's answer yield together. Wiped when dropped.
pub type ExportKey = Zeroizing<[u8; 64]>;

/// Why an OPAQUE step failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpaqueError {
    /// The password does not belong to this account, or the tracker answered with made-up values.
    #[error("wrong password")]
    WrongPassword,
    /// The other side (or a record) brought bytes that are no such message.
    #[error("the {what} has {len} bytes and is not a valid one")]
    Malformed {
        /// Which message.
        what: &'static str,
        /// Its length.
        len: usize,
    },
    /// The environment: the password could not be stretched, most likely for want of memory.
    #[error("the password could not be stretched: {STRETCH_KIB} KiB of memory are needed")]
    Stretch,
}

/// The cipher suite. Its parameters are part of the protocol and never configured.
struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2::Sha512>;
    type Ksf = Stretch;
}

/// Argon2id (RFC 9106).
struct Stretch(Argon2<'static>);

impl Default for Stretch {
    fn default() -> Self {
        const PARAMS: Params = match Params::new(STRETCH_KIB, STRETCH_PASSES, STRETCH_LANES, None) {
            Ok(params) => params,
            Err(_) => Params::DEFAULT,
        };
        const _: () = assert!(PARAMS.m_cost() == STRETCH_KIB && PARAMS.t_cost() == STRETCH_PASSES);
        Self(Argon2::new(Algorithm::Argon2id, Version::V0x13, PARAMS))
    }
}

impl Ksf for Stretch {
    fn hash<L: ArrayLength<u8>>(
        &self,
        input: GenericArray<u8, L>,
    ) -> Result<GenericArray<u8, L>, InternalError> {
        self.0.hash(input)
    }
}

/// A cluster's OPAQUE secret: from the keyring, shared by all trackers.
pub struct Setup(ServerSetup<Suite>);

impl Setup {
    /// Reads what [`Setup::encode`] wrote.
    ///
    /// # Errors
    /// [`OpaqueError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, OpaqueError> {
        ServerSetup::deserialize(bytes).map(Self).map_err(|_| malformed("OPAQUE setup", bytes))
    }

    /// For the keyring file. Secret.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.serialize().to_vec())
    }
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Setup(..)")
    }
}

/// Tracker, once per cluster: draws a fresh secret.
pub fn new_setup() -> Setup {
    Setup(ServerSetup::new(&mut OsRng))
}

/// Tracker: answers a registration request. The response is for [`Registration::finish`].
///
/// # Errors
/// [`OpaqueError::Malformed`] blames the client.
pub fn register(setup: &Setup, user: &UserId, request: &[u8]) -> Result<Vec<u8>, OpaqueError> {
    const WHAT: &str = "registration request";
    let message = RegistrationRequest::deserialize(request).map_err(|_| malformed(WHAT, request))?;
    let started = ServerRegistration::<Suite>::start(&setup.0, message, user.as_bytes())
        .map_err(|_| malformed(WHAT, request))?;
    Ok(started.message.serialize().to_vec())
}

/// Tracker: answers a login request (KE1) with KE2. Without a password file the answer looks the same and no
/// password opens it.
///
/// # Errors
/// [`OpaqueError::Malformed`] blames the client for `ke1`, the account for `password_file`.
pub fn login(
    setup: &Setup,
    password_file: Option<&[u8]>,
    user: &UserId,
    ke1: &[u8],
) -> Result<Vec<u8>, OpaqueError> {
    const WHAT: &str = "login request";
    let message = CredentialRequest::deserialize(ke1).map_err(|_| malformed(WHAT, ke1))?;
    let file = password_file
        .map(|bytes| ServerRegistration::deserialize(bytes).map_err(|_| malformed("password file", bytes)))
        .transpose()?;
    let parameters = ServerLoginParameters { context: Some(CONTEXT), ..Default::default() };
    let started =
        ServerLogin::<Suite>::start(&mut OsRng, &setup.0, file, message, user.as_bytes(), parameters)
            .map_err(|_| malformed(WHAT, ke1))?;
    Ok(started.message.serialize().to_vec())
}

/// Client: a registration between its two messages. Keeps the password until then and wipes it.
pub struct Registration {
    state: ClientRegistration<Suite>,
    password: Zeroizing<Vec<u8>>,
}

impl Registration {
    /// Returns the state and the request for the tracker.
    ///
    /// # Errors
    /// [`OpaqueError::Malformed`] for a password beyond 64 KiB.
    pub fn start(password: impl AsRef<[u8]>) -> Result<(Self, Vec<u8>), OpaqueError> {
        let password = Zeroizing::new(password.as_ref().to_vec());
        let started =
            ClientRegistration::start(&mut OsRng, &password).map_err(|_| malformed("password", &password))?;
        Ok((Self { state: started.state, password }, started.message.serialize().to_vec()))
    }

    /// Takes the tracker's response; returns the password file, which goes into the AuthRecord, and the key for
    /// the vault. Slow, blocks.
    ///
    /// # Errors
    /// [`OpaqueError::Malformed`] blames the tracker; [`OpaqueError::Stretch`] this machine.
    pub fn finish(self, response: &[u8]) -> Result<(Vec<u8>, ExportKey), OpaqueError> {
        self.finish_with(response, &Stretch::default())
    }

    fn finish_with(self, response: &[u8], stretch: &Stretch) -> Result<(Vec<u8>, ExportKey), OpaqueError> {
        const WHAT: &str = "registration response";
        let message = RegistrationResponse::deserialize(response).map_err(|_| malformed(WHAT, response))?;
        let parameters = ClientRegistrationFinishParameters::new(Default::default(), Some(stretch));
        let mut finished = self
            .state
            .finish(&mut OsRng, &self.password, message, parameters)
            .map_err(|e| step_error(e, WHAT, response))?;
        let file = ServerRegistration::finish(finished.message).serialize().to_vec();
        Ok((file, export_key(&mut finished.export_key)))
    }
}

/// Client: a login between its two messages. Keeps the password until then and wipes it.
pub struct Login {
    state: ClientLogin<Suite>,
    password: Zeroizing<Vec<u8>>,
}

impl Login {
    /// Returns the state and the request (KE1) for the tracker.
    ///
    /// # Errors
    /// [`OpaqueError::Malformed`] for a password beyond 64 KiB.
    pub fn start(password: impl AsRef<[u8]>) -> Result<(Self, Vec<u8>), OpaqueError> {
        let password = Zeroizing::new(password.as_ref().to_vec());
        let started =
            ClientLogin::start(&mut OsRng, &password).map_err(|_| malformed("password", &password))?;
        Ok((Self { state: started.state, password }, started.message.serialize().to_vec()))
    }

    /// Takes KE2; returns the key for the vault. Slow, blocks.
    ///
    /// # Errors
    /// [`OpaqueError::WrongPassword`], [`OpaqueError::Malformed`] when the answer has another length,
    /// [`OpaqueError::Stretch`].
    pub fn finish(self, ke2: &[u8]) -> Result<ExportKey, OpaqueError> {
        self.finish_with(ke2, &Stretch::default())
    }

    fn finish_with(self, ke2: &[u8], stretch: &Stretch) -> Result<ExportKey, OpaqueError> {
        const WHAT: &str = "login response";
        let message = CredentialResponse::deserialize(ke2).map_err(|_| malformed(WHAT, ke2))?;
        let parameters = ClientLoginFinishParameters::new(Some(CONTEXT), Default::default(), Some(stretch));
        let mut finished = self
            .state
            .finish(&mut OsRng, &self.password, message, parameters)
            .map_err(|e| step_error(e, WHAT, ke2))?;
        Ok(export_key(&mut finished.export_key))
    }
}

/// Moves the key into memory that wipes itself and wipes where it was.
fn export_key<L: ArrayLength<u8>>(source: &mut GenericArray<u8, L>) -> ExportKey {
    let mut key = Zeroizing::new([0; 64]);
    for (to, from) in key.iter_mut().zip(source.iter_mut()) {
        *to = std::mem::take(from);
    }
    key
}

fn step_error(error: ProtocolError, what: &'static str, bytes: &[u8]) -> OpaqueError {
    match error {
        ProtocolError::InvalidLoginError => OpaqueError::WrongPassword,
        ProtocolError::LibraryError(InternalError::KsfError) => OpaqueError::Stretch,
        _ => malformed(what, bytes),
    }
}

fn malformed(what: &'static str, bytes: &[u8]) -> OpaqueError {
    OpaqueError::Malformed { what, len: bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: UserId = UserId([5; 32]);

    /// 64 KiB and one pass: the protocol is under test here, not Argon2.
    fn light() -> Stretch {
        Stretch(Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap()))
    }

    fn registered(setup: &Setup, password: &str) -> (Vec<u8>, ExportKey) {
        let (state, request) = Registration::start(password).unwrap();
        state.finish_with(&register(setup, &USER, &request).unwrap(), &light()).unwrap()
    }

    fn log_in(
        setup: &Setup,
        file: Option<&[u8]>,
        user: &UserId,
        password: &str,
    ) -> Result<ExportKey, OpaqueError> {
        let (state, ke1) = Login::start(password).unwrap();
        state.finish_with(&login(setup, file, user, &ke1).unwrap(), &light())
    }

    #[test]
    fn full_strength_round_trip() {
        let setup = new_setup();
        let (state, request) = Registration::start("correct horse").unwrap();
        let (file, key) = state.finish(&register(&setup, &USER, &request).unwrap()).unwrap();
        // Another tracker, which has read the same keyring.
        let other = Setup::decode(&setup.encode()).unwrap();
        let (state, ke1) = Login::start("correct horse").unwrap();
        assert_eq!(state.finish(&login(&other, Some(&file), &USER, &ke1).unwrap()).unwrap(), key);
        assert_ne!(*key, [0; 64]);
    }

    #[test]
    fn only_the_right_password_on_the_right_account_and_cluster() {
        let setup = new_setup();
        let (file, key) = registered(&setup, "secret");
        assert_eq!(log_in(&setup, Some(&file), &USER, "secret"), Ok(key));
        assert_eq!(log_in(&setup, Some(&file), &USER, "Secret"), Err(OpaqueError::WrongPassword));
        assert_eq!(log_in(&setup, Some(&file), &USER, ""), Err(OpaqueError::WrongPassword));
        assert_eq!(log_in(&setup, Some(&file), &UserId([6; 32]), "secret"), Err(OpaqueError::WrongPassword));
        assert_eq!(log_in(&new_setup(), Some(&file), &USER, "secret"), Err(OpaqueError::WrongPassword));
    }

    #[test]
    fn an_unknown_user_gets_an_answer_of_the_same_shape() {
        let setup = new_setup();
        let (file, _) = registered(&setup, "secret");
        let (_, ke1) = Login::start("secret").unwrap();
        let real = login(&setup, Some(&file), &USER, &ke1).unwrap();
        let fake = login(&setup, None, &USER, &ke1).unwrap();
        assert_eq!(real.len(), fake.len());
        assert_eq!(log_in(&setup, None, &USER, "secret"), Err(OpaqueError::WrongPassword));
    }

    #[test]
    fn malformed_messages_are_refused() {
        let setup = new_setup();
        let bad = |what, len| Some(OpaqueError::Malformed { what, len });
        assert_eq!(register(&setup, &USER, &[1; 31]).err(), bad("registration request", 31));
        // 32 bytes of 0xff are no point of the group.
        assert_eq!(register(&setup, &USER, &[0xff; 32]).err(), bad("registration request", 32));
        assert_eq!(login(&setup, None, &USER, &[]).err(), bad("login request", 0));
        let (state, ke1) = Login::start("secret").unwrap();
        assert_eq!(login(&setup, Some(&[0; 9]), &USER, &ke1).err(), bad("password file", 9));
        assert_eq!(state.finish_with(&[7; 3], &light()).err(), bad("login response", 3));
        let (state, _) = Registration::start("secret").unwrap();
        assert_eq!(state.finish_with(&[7; 3], &light()).err(), bad("registration response", 3));
        assert_eq!(Setup::decode(&[7; 3]).err(), bad("OPAQUE setup", 3));
        assert_eq!(format!("{setup:?}"), "Setup(..)");
    }
}
