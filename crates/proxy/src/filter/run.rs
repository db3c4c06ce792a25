use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::pace::Pace;
use super::{
    ActiveFilter, Dice, Filters, HostOverride, RequestContext, ResponseContext, Resume, RouteRef, RouteRules, Step,
};
use crate::connection::Connection;
use crate::exchange::Exchange;
use crate::http::{Described, Frame, Framing, RequestHead, ResponseHead};
use crate::worker::Worker;

/// The filters of one exchange.
#[derive(Debug)]
pub(crate) struct FilterRun {
    active: Vec<Active>,
    rules: Option<Arc<RouteRules>>,
    dice: Dice,
    pub(crate) route: Option<RouteRef>,
    /// The route is another than when somebody last looked.
    has_new_route: bool,
    /// Frames of the request that have passed the filters, or wait for one that wants them all.
    pub(crate) request_frames: VecDeque<Frame>,
    transforms_request: bool,
    transforms_response: bool,
    /// Of the response's body.
    pub(crate) pace: Option<Pace>,
    pub(crate) host_override: Option<HostOverride>,
}

#[derive(Debug)]
struct Active {
    name: Rc<str>,
    filter: ActiveFilter,
    transforms_request: bool,
    transforms_response: bool,
}

/// What hooks of the request's head are given beside what the run has.
pub(crate) struct RequestParts<'a> {
    pub(crate) request: &'a mut RequestHead,
    pub(crate) framing: &'a mut Framing,
    pub(crate) exchange: &'a mut Exchange,
    pub(crate) connection: &'a Rc<Connection>,
    pub(crate) worker: &'a Rc<Worker>,
}

impl FilterRun {
    pub(crate) fn new(filters: &Filters, rules: Option<Arc<RouteRules>>, route: Option<RouteRef>, dice: Dice) -> Self {
        let mut active: Vec<Active> = filters
            .activate(route.as_ref())
            .map(|(name, filter)| Active { name, filter, transforms_request: false, transforms_response: false })
            .collect();
        introduce_compressors(&mut active);
        Self {
            active,
            rules,
            dice,
            route,
            has_new_route: true,
            request_frames: VecDeque::new(),
            transforms_request: false,
            transforms_response: false,
            pace: None,
            host_override: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.active.len()
    }

    /// The hook of filter `at`: for the head, or for what the filter waited for.
    pub(crate) fn step(&mut self, at: usize, resume: Option<Resume>, parts: RequestParts<'_>) -> Step {
        let Some(active) = self.active.get_mut(at) else { return Step::Continue };
        let RequestParts { request, framing, exchange, connection, worker } = parts;
        let mut cx = RequestContext {
            name: &active.name,
            request,
            framing,
            exchange,
            connection,
            worker,
            route: self.route.as_ref(),
            clears_route: false,
            transforms_body: active.transforms_request,
            response_kib_per_second: None,
            host_override: self.host_override,
        };
        let step = match resume {
            None => active.filter.on_request(&mut cx),
            Some(resume) => active.filter.on_resume(resume, &mut cx),
        };
        // What waits already has passed only the filters before this one.
        let is_new = cx.transforms_body && !active.transforms_request;
        active.transforms_request = cx.transforms_body;
        if is_new {
            for frame in std::mem::take(&mut self.request_frames) {
                active.filter.on_request_frame(frame, &mut self.request_frames);
            }
        }
        self.transforms_request |= cx.transforms_body;
        if let Some(rate) = cx.response_kib_per_second {
            self.pace = Some(Pace::new(rate));
        }
        self.host_override = cx.host_override;
        if cx.clears_route {
            let described = Described { request, metadata: &exchange.metadata, connection };
            let picked = self.rules.as_ref().and_then(|rules| rules.pick(&described, self.dice));
            self.has_new_route = true;
            self.route = self.rules.as_ref().zip(picked).map(|(rules, picked)| rules.route_ref(picked));
        }
        step
    }

    /// The hooks of the response's head.
    pub(crate) fn on_response(
        &mut self,
        request: &RequestHead,
        (response, framing): (&mut ResponseHead, &mut Framing),
        exchange: &mut Exchange,
        (connection, worker): (&Rc<Connection>, &Rc<Worker>),
    ) {
        for active in self.active.iter_mut().rev() {
            let mut cx = ResponseContext {
                name: &active.name,
                request,
                response,
                framing,
                exchange,
                connection,
                worker,
                route: self.route.as_ref(),
                transforms_body: false,
            };
            active.filter.on_response(&mut cx);
            active.transforms_response = cx.transforms_body;
            self.transforms_response |= cx.transforms_body;
        }
    }

    /// The route, once each time that it has changed.
    pub(crate) fn take_new_route(&mut self) -> Option<Option<&RouteRef>> {
        std::mem::take(&mut self.has_new_route).then_some(self.route.as_ref())
    }

    pub(crate) fn transforms_request(&self) -> bool {
        self.transforms_request
    }

    pub(crate) fn transforms_response(&self) -> bool {
        self.transforms_response
    }

    /// Through the filters, into `request_frames`.
    pub(crate) fn push_request(&mut self, frame: Frame) {
        let filters = self.active.iter_mut().filter(|active| active.transforms_request);
        let frames = through(filters, frame, ActiveFilter::on_request_frame);
        self.request_frames.extend(frames);
    }

    /// Through the filters, last one first.
    pub(crate) fn response_frames(&mut self, frame: Frame) -> VecDeque<Frame> {
        let filters = self.active.iter_mut().rev().filter(|active| active.transforms_response);
        through(filters, frame, ActiveFilter::on_response_frame)
    }

    pub(crate) fn on_end(&mut self, exchange: &Exchange) {
        for active in &mut self.active {
            active.filter.on_end(exchange);
        }
    }
}

/// Which of several compressors works depends on what the others offer.
fn introduce_compressors(active: &mut [Active]) {
    let compressors = |active: &Active| match &active.filter {
        ActiveFilter::Compressor(filter) => Some(filter.compressor().clone()),
        _ => None,
    };
    let all: Vec<_> = active.iter().filter_map(compressors).collect();
    if all.is_empty() {
        return;
    }
    let all: Rc<[_]> = all.into();
    for active in active {
        if let ActiveFilter::Compressor(filter) = &mut active.filter {
            filter.meet(all.clone());
        }
    }
}

fn through<'a>(
    filters: impl Iterator<Item = &'a mut Active>,
    frame: Frame,
    hook: fn(&mut ActiveFilter, Frame, &mut VecDeque<Frame>),
) -> VecDeque<Frame> {
    let mut frames = VecDeque::from([frame]);
    for active in filters {
        let mut out = VecDeque::new();
        for frame in frames {
            hook(&mut active.filter, frame, &mut out);
        }
        frames = out;
    }
    frames
}
