//! HTTP/2 of an origin.

use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use serde_json::Value;
use tokio::task::JoinSet;

use super::script::{Act, Script};
use super::{Arrival, Origin};
use crate::share::{Replay, pairs, reason, send_all};
use crate::stream::{Headers, Stream};

pub(super) async fn serve(stream: Stream, origin: Arc<Origin>, tls: Value) -> anyhow::Result<()> {
    let mut builder = h2::server::Builder::new();
    let mut connection = builder.enable_connect_protocol().handshake(Replay::new(stream)).await?;
    let mut exchanges = JoinSet::new();
    let mut count = 0;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        let (origin, tls) = (origin.clone(), tls.clone());
        count += 1;
        // An error ends the exchange, which is what its peer shall see.
        exchanges.spawn(async move {
            let _ = exchange(request, respond, (&origin, count), tls).await;
        });
        while exchanges.try_join_next().is_some() {}
    }
    Ok(())
}

async fn exchange(
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    (origin, count): (&Origin, u32),
    tls: Value,
) -> anyhow::Result<()> {
    let (parts, mut body) = request.into_parts();
    let head = http::Request::from_parts(parts.clone(), ());
    if origin.spec.log_service && super::log_service::serve(&head, &mut body, &mut respond, &origin.log).await? {
        return Ok(());
    }
    let mut headers = pairs(&parts.headers);
    if let Some(authority) = parts.uri.authority() {
        headers.insert(0, ("host".to_owned(), authority.to_string()));
    }
    if let Some(protocol) = parts.extensions.get::<h2::ext::Protocol>() {
        headers.push((":protocol".to_owned(), protocol.as_str().to_owned()));
    }
    let arrival = Arrival {
        origin: origin.name.clone(),
        version: "2",
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or_else(|| "*".to_owned(), ToString::to_string),
        headers,
        body: Vec::new(),
        is_cut: false,
        trailers: Vec::new(),
        tls,
    };
    let at = origin.note(arrival.clone());
    let script = origin.script(&arrival)?.counted(count);
    if script.is_upgrade {
        return echo(&mut body, &mut respond, &origin.name).await;
    }
    if !script.is_early && !read(&mut body, origin, at).await {
        return Ok(());
    }
    if let Some(delay) = script.delay {
        tokio::time::sleep(delay).await;
    }
    match &script.act {
        Act::Hang => return Ok(std::future::poll_fn(|context| respond.poll_reset(context)).await.map(|_| ())?),
        Act::Close | Act::Raw(_) => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        }
        Act::Reset(name) => {
            respond.send_reset(reason(name));
            return Ok(());
        }
        Act::Answer | Act::Cut | Act::CutByReset | Act::Stall => {}
    }
    answer(&mut respond, origin, &script).await?;
    if script.is_early {
        read(&mut body, origin, at).await;
    }
    Ok(())
}

/// Takes a tunnel of any protocol and gives back what comes.
async fn echo(body: &mut RecvStream, respond: &mut SendResponse<Bytes>, name: &str) -> anyhow::Result<()> {
    let response = http::Response::builder().header("x-origin", name).body(())?;
    let mut stream = respond.send_response(response, false)?;
    while let Some(data) = body.data().await {
        let data = data?;
        let _ = body.flow_control().release_capacity(data.len());
        send_all(&mut stream, &data, false).await?;
    }
    Ok(stream.send_data(Bytes::new(), true)?)
}

async fn read(body: &mut RecvStream, origin: &Origin, at: usize) -> bool {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let Ok(data) = data else {
            origin.finish(at, bytes, Headers::new(), true);
            return false;
        };
        let _ = body.flow_control().release_capacity(data.len());
        bytes.extend_from_slice(&data);
    }
    let trailers = body.trailers().await.ok().flatten().map(|trailers| pairs(&trailers)).unwrap_or_default();
    origin.finish(at, bytes, trailers, false);
    true
}

async fn answer(respond: &mut SendResponse<Bytes>, origin: &Origin, script: &Script) -> anyhow::Result<()> {
    if let Some(status) = script.info {
        let info = http::Response::builder().status(status).header("x-info", "yes").body(())?;
        respond.send_informational(info)?;
    }
    let (headers, body) = script.answer(&origin.name);
    let mut response = http::Response::builder().status(script.status());
    for (name, value) in &headers {
        response = response.header(name, value);
    }
    let has_length = headers.iter().any(|(name, _)| name == "content-length");
    if !script.is_chunked && script.trailers.is_empty() && !script.has_no_body && !has_length && !body.is_empty() {
        response = response.header("content-length", body.len());
    }
    let ends = body.is_empty() && script.trailers.is_empty() && script.act == Act::Answer;
    let mut stream = respond.send_response(response.body(())?, ends)?;
    if ends {
        return Ok(());
    }
    send_body(&mut stream, script, &body).await
}

async fn send_body(stream: &mut SendStream<Bytes>, script: &Script, body: &[u8]) -> anyhow::Result<()> {
    let (first, second) = body.split_at(body.len() / 2);
    if let Some(pause) = script.slow {
        tokio::time::sleep(pause).await;
    }
    send_all(stream, first, false).await?;
    match script.act {
        Act::Answer => {}
        Act::Stall => return Ok(std::future::poll_fn(|context| stream.poll_reset(context)).await.map(|_| ())?),
        _ => {
            // What was sent must arrive before the reset does.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            stream.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        }
    }
    if let Some(pause) = script.slow {
        tokio::time::sleep(pause).await;
    }
    send_all(stream, second, script.trailers.is_empty()).await?;
    if !script.trailers.is_empty() {
        stream.send_trailers(crate::share::map(&script.trailers)?)?;
    }
    Ok(())
}
