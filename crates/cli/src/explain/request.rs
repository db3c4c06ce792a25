use leno_routing::{HeaderView, RequestView};

use crate::misuse::Misuse;

/// A request that nobody sends.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) scheme: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) path: String,
    authority: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn read(method: &str, url: &str, headers: &[String]) -> anyhow::Result<Self> {
        let misused = |why: &str| Misuse::error(format!("\"{url}\" {why}; say http://reviews:9080/path"));
        let url_with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let uri: http::Uri = url_with_scheme.parse().map_err(|_| misused("is no URL"))?;
        let scheme = uri.scheme_str().unwrap_or("http").to_owned();
        let default_port = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return Err(misused("is neither http nor https")),
        };
        let authority = uri.authority().ok_or_else(|| misused("names no host"))?;
        let mut request = Self {
            method: method.to_ascii_uppercase(),
            scheme,
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(default_port),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            authority: authority.as_str().to_owned(),
            headers: Vec::new(),
        };
        for header in headers {
            let (name, value) = header
                .split_once(':')
                .ok_or_else(|| Misuse::error(format!("-H is 'NAME: VALUE', not \"{header}\"")))?;
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
            if name == "host" {
                request.authority = value;
            } else {
                request.headers.push((name, value));
            }
        }
        Ok(request)
    }
}

impl Request {
    /// `GET http://reviews:9080/products`.
    pub(crate) fn words(&self) -> String {
        format!("{} {}://{}:{}{}", self.method, self.scheme, self.host, self.port, self.path)
    }
}

impl HeaderView for Request {
    fn pseudo_header(&self, name: &str) -> Option<&str> {
        match name {
            ":authority" | "host" => Some(&self.authority),
            ":method" => Some(&self.method),
            ":path" => Some(&self.path),
            ":scheme" => Some(&self.scheme),
            _ => None,
        }
    }

    fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_bytes())
    }
}

impl RequestView for Request {
    fn method(&self) -> &str {
        &self.method
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn authority(&self) -> &str {
        &self.authority
    }

    fn scheme(&self) -> &str {
        &self.scheme
    }
}
