//! A certificate authority for the duration of one test.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::path::{Path, PathBuf};

/// PEM files of a CA, of a server at 127.0.0.1 and localhost, and of a client, all signed by it.
pub struct Certificates {
    pub ca: PathBuf,
    pub server: PathBuf,
    pub server_key: PathBuf,
    pub client: PathBuf,
    pub client_key: PathBuf,
}

impl Certificates {
    pub fn make(dir: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "tailback tests");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let write = |name: &str, pem: String| {
            let path = dir.join(name);
            std::fs::write(&path, pem).unwrap();
            path
        };
        let issue = |name: &str, hosts: &[&str]| {
            let key = KeyPair::generate().unwrap();
            let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
            let mut params = CertificateParams::new(hosts).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            let certificate = params.signed_by(&key, &ca).unwrap();
            (
                write(&format!("{name}.crt"), certificate.pem()),
                write(&format!("{name}.key"), key.serialize_pem()),
            )
        };
        let (server, server_key) = issue("server", &["127.0.0.1", "localhost"]);
        let (client, client_key) = issue("client", &[]);
        Self {
            ca: write("ca.crt", ca.pem()),
            server,
            server_key,
            client,
            client_key,
        }
    }
}
