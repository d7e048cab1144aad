"""The console: pages for people and, on the same port, interfaces for programs. A process of its own, without torch.

How the parts fit, and what a new part does:

* `application.build_app(console)` puts everything together; `console.Console` is what all parts share: configuration,
  repository, clock, templates. A part is a module in `routers/` with `router = APIRouter(...)`, named in
  `application.ROUTERS`. Endpoints are plain `def`: they run in threads, and the repository blocks.
* **Closed by default.** `gate.Gate` stands in front of all routes. Without a session cookie or `Authorization: Bearer`
  token only the paths of `gate.PUBLIC` answer; a browser is sent to /sign-in, a program (`gate.is_for_programs`) gets
  401 as JSON. Nothing of a body is read before that.
* **Who asks**: `access.current_user` (a `users.Caller`), `access.require(UserRole.OPERATOR)`, as dependencies;
  `dependencies=[require(...)]` on a router covers it whole. Whatever changes something goes through
  `console.acting_as(caller)`, so that the audit trail names the person.
* **CSRF**: every unsafe request that comes with a cookie must carry the token in the field `csrf` or the header
  `X-CSRF-Token`; checked for all routes. A `<form method="post">` includes `{{ csrf_field() }}`; what htmx sends has
  the header. A token of a program needs none.
* **Pages**: `pages.render(request, "name.html", **values)`; templates extend `base.html` (blocks `title`, `main`) and
  escape everything. The content-security policy allows our own files alone: no inline script, no inline style, no
  `style=` and no `on...=` attribute; behaviour goes into a file in `static/`, styles into a file linked in block
  `head`. A part may have a stylesheet and a script of its own. Every answer but /static is `no-store`. A page of the
  bar has its line in `pages.NAVIGATION`.
* **Words**: `{{ _("English sentence with {name}", name=...) }}`; in Python, `request_words(request)("...")`, or
  `message("...")` where it is said later. The German stands in `locale/de/LC_MESSAGES/*.po`: a part may have a file
  of its own there. `tools/catalogue.py` makes the `.mo` files; sentences of the PDF (reasons, remarks) need no second
  entry.
* **Errors**: a `NodeError` that leaves an endpoint becomes a page or, for programs, `{"error": ..., "text": ...}`:
  Refused 409, Transient 503, any other 500. `pages.Missing` is 404, `pages.NotAllowed` 403.
* **Patient data** stands in pages only: never in an address, a title, a log line or a cookie. Addresses have row ids
  and UIDs.
"""
