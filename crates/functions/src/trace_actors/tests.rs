use super::*;

fn id(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

fn span(number: u64, parent: u64, user: Option<&'static str>, roles: Option<&'static str>) -> Span<'static> {
    let parent = (parent > 0).then(|| id(parent));
    let time_ns = i64::try_from(number).unwrap();
    Span { id: id(number), parent, time_ns, user, roles: roles.map(|role| vec![Some(role)]) }
}

/// `user role source` of each span, in order.
#[track_caller]
fn check(spans: &[Span<'_>], expected: &[&str]) {
    let shown = |actor: &Actor| {
        let user = actor.user.and_then(|user| spans[user].user).unwrap_or("-");
        let role = actor.roles.and_then(|index| spans[index].roles.as_ref()?.first().copied().flatten()).unwrap_or("-");
        format!("{user} {role} {}", actor.source.as_str())
    };
    let found: Vec<_> = resolve(spans).iter().map(shown).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_actor_is_the_nearest_user_above() {
    check(
        &[
            span(1, 0, Some("ann"), Some("user")),
            span(2, 1, None, None),
            span(3, 2, Some("svc"), Some("service")),
            span(4, 3, None, None),
            span(5, 2, None, Some("admin")),
        ],
        &["ann user own", "ann user ancestor", "svc service own", "svc service ancestor", "ann user ancestor"],
    );
}

#[test]
fn roles_come_from_the_same_user_only() {
    check(
        &[span(1, 0, Some("ann"), Some("user")), span(2, 1, Some("ann"), None), span(3, 1, Some("bob"), None)],
        &["ann user own", "ann user own", "bob - own"],
    );
}

#[test]
fn a_lost_parent_leads_to_the_root_and_a_whole_chain_does_not() {
    let lost = span(3, 99, None, None);
    check(&[span(1, 0, Some("ann"), None), lost, span(4, 3, None, None)], &["ann - own", "ann - root", "ann - root"]);
    check(&[span(1, 0, None, None), span(3, 99, None, None)], &["- - none", "- - none"]);
    check(
        &[span(1, 0, Some("ann"), None), span(5, 0, None, None), span(6, 5, None, None)],
        &["ann - own", "- - none", "- - none"],
    );
}

#[test]
fn cycles_and_deep_traces_end() {
    check(&[span(1, 2, None, None), span(2, 1, None, None), span(3, 3, None, None)], &["- - none"; 3]);
    check(&[span(1, 2, None, None), span(2, 1, Some("ann"), None)], &["ann - ancestor", "ann - own"]);
    let deep: Vec<_> = (1..=200_000).rev().map(|n| span(n, n - 1, (n == 1).then_some("ann"), None)).collect();
    let actors = resolve(&deep);
    assert!(actors.iter().all(|actor| actor.user == Some(deep.len() - 1)));
}

#[test]
fn rows_survive_the_state() {
    let mut writer = Writer::default();
    writer.id(Some(&id(7)));
    writer.id(None);
    writer.time(-1);
    writer.text(Some("ann"));
    writer.count(Some(2));
    writer.text(Some("a"));
    writer.text(None);
    let spans = read(&writer.bytes).unwrap();
    assert_eq!((spans[0].id, spans[0].parent, spans[0].time_ns, spans[0].user), (id(7), None, -1, Some("ann")));
    assert_eq!(spans[0].roles, Some(vec![Some("a"), None]));
    assert!(read(&writer.bytes[..20]).is_err());
}
