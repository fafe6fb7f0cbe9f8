"""Jobs and content from the command line, with a server and without."""


def test_a_job_is_run_followed_listed_and_shown(either):
    view = either.ok("jobs", "run", "jobs.prune", "--key", "once")
    assert (view["job"]["state"], view["job"]["result"]) == ("done", {"jobs": 0})
    assert either.ok("jobs", "run", "jobs.prune", "--key", "once")["job"]["id"] == view["job"]["id"]
    assert view["job"]["id"] in {job["id"] for job in either.ok("jobs", "list", "--state", "done")["items"]}
    assert either.ok("jobs", "show", view["job"]["id"])["attempts"][0]["outcome"] == "done"
    assert "done" in either.text("jobs", "show", view["job"]["id"])
    assert either.fails("jobs", "show", "job_nope") == (3, either.fails("jobs", "show", "job_nope")[1])
    code, error = either.fails("jobs", "retry", view["job"]["id"])
    assert (code, error["code"]) == (4, "conflict")
    assert either.fails("jobs", "run", "no.such.kind")[0] == 3
    assert either.fails("jobs", "run", "jobs.prune", "--payload", "{")[0] == 2


def test_schedules_are_set_listed_and_forgotten(either):
    made = either.ok("jobs", "schedule", "nightly", "backup", "0 3 * * *", "--time-zone", "Europe/Berlin")
    assert made["next_ns"] > 0
    assert "nightly" in {one["name"] for one in either.ok("jobs", "schedules")["items"]}
    assert either.fails("jobs", "schedule", "bad", "backup", "never")[0] == 2
    assert either.ok("jobs", "unschedule", "nightly")["deleted"]
    assert "jobs.prune" in {kind["name"] for kind in either.ok("jobs", "kinds")["items"]}


def test_a_customers_choice_of_what_is_kept(either):
    either.ok("customers", "add", "Acme")
    assert either.ok("content", "policy", "acme") == {"keep": "nothing", "days": 30}
    chosen = {"keep": "full", "days": 7}
    assert either.ok("content", "policy", "acme", "--keep", "full", "--days", "7") == chosen
    assert either.ok("content", "policy", "acme") == chosen
    assert either.fails("content", "policy", "acme", "--keep", "everything")[0] == 2
    assert either.fails("content", "show", "acme", "req_none")[0] == 3
    assert either.fails("content", "erase", "acme")[0] == 2
    assert either.ok("content", "erase", "acme", "--yes")["erased"]
    actions = [entry["action"] for entry in either.ok("audit", "list")["items"]]
    assert actions.count("content.erase") == 1
