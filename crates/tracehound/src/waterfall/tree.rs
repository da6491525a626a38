use std::collections::HashMap;

use super::Span;

/// One line of the drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Which span; meaningless for a marker.
    pub(super) span: usize,
    pub(super) place: Place,
    /// For each level above the parent's own, whether more children of it follow.
    pub(super) open: Vec<bool>,
    /// Whether the user is another than that of the nearest span above with a user.
    pub(super) user_is_new: bool,
    /// Whether no span names it as its parent.
    pub(super) is_leaf: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Root,
    Child { is_last: bool },
    Marker(&'static str),
}

const ORPHANS: &str = "the parent of these spans has not arrived";
const CYCLES: &str = "these spans are their own ancestors";

/// The spans in drawing order, at most `spans_max`: roots with what is below them, then spans whose parent is
/// missing, then those that name each other as parents. Siblings stand in the order of their starts.
pub(super) fn arrange(spans: &[Span], spans_max: usize) -> Vec<Line> {
    let mut by_id: HashMap<&str, usize> = HashMap::with_capacity(spans.len());
    for (index, span) in spans.iter().enumerate() {
        by_id.entry(&span.span_id).or_insert(index);
    }
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    let (mut roots, mut orphans) = (Vec::new(), Vec::new());
    for (index, span) in spans.iter().enumerate() {
        match &span.parent_span_id {
            None => roots.push(index),
            Some(parent) => match by_id.get(parent.as_str()) {
                Some(&parent) => children[parent].push(index),
                None => orphans.push(index),
            },
        }
    }
    let by_start = |indexes: &mut Vec<usize>| indexes.sort_by_key(|&index| (spans[index].start_ns, index));
    children.iter_mut().for_each(by_start);
    by_start(&mut roots);
    by_start(&mut orphans);

    let mut drawing =
        Drawing { spans, children: &children, seen: vec![false; spans.len()], lines: Vec::new(), drawn: 0, spans_max };
    drawing.add_all(&roots, None);
    drawing.add_all(&orphans, Some(ORPHANS));
    // What no root and no orphan leads to hangs in a cycle; its earliest span is drawn as a root.
    let mut rest: Vec<_> = (0..spans.len()).collect();
    by_start(&mut rest);
    drawing.add_all(&rest, Some(CYCLES));
    drawing.lines
}

struct Drawing<'a> {
    spans: &'a [Span],
    children: &'a [Vec<usize>],
    seen: Vec<bool>,
    lines: Vec<Line>,
    drawn: usize,
    spans_max: usize,
}

/// A span that waits to be drawn.
struct Waiting<'a> {
    span: usize,
    place: Place,
    open: Vec<bool>,
    user: Option<&'a str>,
}

impl<'a> Drawing<'a> {
    fn add_all(&mut self, roots: &[usize], mut marker: Option<&'static str>) {
        for &root in roots {
            // A span of the part that is not drawn has not been seen, yet it is no cycle.
            if self.seen[root] || self.drawn >= self.spans_max {
                continue;
            }
            if let Some(text) = marker.take() {
                self.lines.push(Line {
                    span: root,
                    place: Place::Marker(text),
                    open: Vec::new(),
                    user_is_new: false,
                    is_leaf: true,
                });
            }
            self.add(root);
        }
    }

    /// Draws a span and what is below it, without recursion: a trace may be a chain of 10,000 spans.
    fn add(&mut self, root: usize) {
        let mut waiting = vec![Waiting { span: root, place: Place::Root, open: Vec::new(), user: None }];
        while let Some(next) = waiting.pop() {
            if std::mem::replace(&mut self.seen[next.span], true) {
                continue;
            }
            if self.drawn >= self.spans_max {
                return;
            }
            self.drawn += 1;
            let own = self.spans[next.span].user.as_deref();
            let below = own.or(next.user);
            let mut open = next.open.clone();
            if let Place::Child { is_last } = next.place {
                open.push(!is_last);
            }
            let user_is_new = own.is_some() && own != next.user;
            self.lines.push(Line {
                span: next.span,
                place: next.place,
                open: next.open,
                user_is_new,
                is_leaf: self.children[next.span].is_empty(),
            });
            let children = &self.children[next.span];
            for (index, &child) in children.iter().enumerate().rev() {
                let place = Place::Child { is_last: index + 1 == children.len() };
                waiting.push(Waiting { span: child, place, open: open.clone(), user: below });
            }
        }
    }
}
