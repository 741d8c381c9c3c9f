//! The keys and certificates of one control plane, made anew for each.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kube::config::AuthInfo;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// A certificate with its key, both in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Everything that the control plane, its clients and the simulated kubelets need to trust each other.
pub(crate) struct Pki {
    /// The authority that has signed all the rest, in PEM and DER.
    pub(crate) ca_pem: String,
    pub(crate) ca_der: Vec<u8>,
    /// Serves kube-apiserver's port.
    pub(crate) api_server: Identity,
    /// What kube-apiserver shows to a kubelet when it asks for logs.
    pub(crate) kubelet_client: Identity,
    /// Serves the simulated kubelets' port.
    pub(crate) kubelet_server: Identity,
    /// kube-controller-manager's.
    pub(crate) controller_manager: Identity,
    /// A member of `system:masters`.
    pub(crate) admin: Identity,
    /// Signs the tokens of service accounts.
    pub(crate) service_account: KeyPair,
}

impl Pki {
    /// Makes all of it.
    ///
    /// `api_server_names` and `kubelet_names` are the host names and addresses under which clients
    /// reach kube-apiserver, and kube-apiserver the kubelets.
    pub(crate) fn generate(api_server_names: &[&str], kubelet_names: &[&str]) -> Result<Self> {
        let key = KeyPair::generate().context("cannot make a key")?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "daemonset-job test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        let ca = Issuer::new(params, key);

        Ok(Self {
            ca_pem: certificate.pem(),
            ca_der: certificate.der().to_vec(),
            api_server: server(&ca, "kube-apiserver", api_server_names)?,
            kubelet_client: client(&ca, "kube-apiserver-kubelet-client", "system:masters")?,
            kubelet_server: server(&ca, "simulated-kubelet", kubelet_names)?,
            // Its controllers act under service accounts of their own, with the rights that the API
            // server hands out at start; this user's are for the rest, by its name alone.
            controller_manager: client(
                &ca,
                "system:kube-controller-manager",
                "system:authenticated",
            )?,
            admin: client(&ca, "admin", "system:masters")?,
            service_account: KeyPair::generate()?,
        })
    }
}

impl Identity {
    /// The same as part of a client's configuration.
    pub(crate) fn auth_info(&self) -> AuthInfo {
        AuthInfo {
            client_certificate_data: Some(BASE64.encode(&self.certificate)),
            client_key_data: Some(BASE64.encode(&self.key).into()),
            ..AuthInfo::default()
        }
    }
}

fn server(ca: &Issuer<'_, KeyPair>, name: &str, names: &[&str]) -> Result<Identity> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let params = CertificateParams::new(names).context("bad host name")?;
    leaf(ca, params, name, None, ExtendedKeyUsagePurpose::ServerAuth)
}

/// Kubernetes takes the user's name from the common name and their group from the organization.
fn client(ca: &Issuer<'_, KeyPair>, user: &str, group: &str) -> Result<Identity> {
    let params = CertificateParams::default();
    leaf(ca, params, user, Some(group), ExtendedKeyUsagePurpose::ClientAuth)
}

fn leaf(
    ca: &Issuer<'_, KeyPair>,
    mut params: CertificateParams,
    name: &str,
    organization: Option<&str>,
    usage: ExtendedKeyUsagePurpose,
) -> Result<Identity> {
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(organization) = organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate()?;
    let certificate = params
        .signed_by(&key, ca)
        .with_context(|| format!("cannot sign the certificate of {name}"))?;
    Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
}
