use serde::Serialize;

/// What is spoken on a service port.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Found out per connection.
    #[default]
    Auto,
    Grpc,
    Http,
    Http2,
    Tcp,
    /// The application's own TLS, passed through; its server name is readable.
    Tls,
}

impl Protocol {
    /// `appProtocol`, then the port's name up to the first `-` (Istio's rule), then nothing known.
    pub fn of(app_protocol: Option<&str>, name: Option<&str>) -> Self {
        let word = app_protocol.or_else(|| name.and_then(|name| name.split('-').next())).unwrap_or_default();
        Self::from_word(word)
    }

    pub fn from_word(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "http" | "http1" | "kubernetes.io/ws" => Self::Http,
            "http2" | "kubernetes.io/h2c" | "h2c" => Self::Http2,
            "grpc" | "grpc-web" => Self::Grpc,
            "tcp" | "mysql" | "mongo" | "redis" | "postgres" => Self::Tcp,
            "tls" | "https" | "kubernetes.io/wss" => Self::Tls,
            _ => Self::Auto,
        }
    }

    /// Whether requests can be routed one by one.
    pub const fn may_be_http(self) -> bool {
        !matches!(self, Self::Tcp | Self::Tls)
    }
}
