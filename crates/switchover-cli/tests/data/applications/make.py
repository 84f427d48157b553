"""Makes the stores of the applications in this folder, by the applications' own code.

    python make.py NAME URL [rows]

NAME is a folder's, URL a store (sqlite:///FILE or postgresql://…, for wagtail sqlite:FILE or postgresql:DATABASE);
with `rows` the application writes some, too. README.md says which packages, and what becomes of the stores.
"""

import datetime
import os
import sys


def optuna(url, rows):
    import optuna

    storage = optuna.storages.RDBStorage(url)
    if not rows:
        return
    sampler = lambda: optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(study_name="überblick", storage=storage, directions=["minimize", "maximize"], sampler=sampler())
    study.set_user_attr("who", {"name": "Zoë", "n": [1, 2.5, None]})

    def two(trial):
        x, n = trial.suggest_float("x", -5, 5), trial.suggest_int("n", 1, 1000, log=True)
        trial.suggest_categorical("kernel", ["rbf", None, True, 3])
        trial.set_user_attr("note", 'a "quoted" \n line')
        return x * x + n, (float("inf") if trial.number == 2 else x)

    study.optimize(two, n_trials=5)
    study = optuna.create_study(study_name="single", storage=storage, sampler=sampler())

    def one(trial):
        x = trial.suggest_float("x", 0, 1)
        for step in range(3):
            trial.report(float("nan") if step == 1 else x * step, step)
            if trial.number == 3:
                raise optuna.TrialPruned()
        if trial.number == 1:
            raise ValueError("no")
        return x

    study.optimize(one, n_trials=4, catch=(ValueError,))
    study.enqueue_trial({"x": 0.5})


def jupyterhub(url, rows):
    from jupyterhub import orm, roles

    db = orm.new_session_factory(url)()
    for role in roles.get_default_roles():
        roles.create_role(db, role)
    if rows:
        users = [orm.User(name=name, admin=name == "ada") for name in ("ada", "grace", "Zoë")]
        db.add_all(users)
        db.commit()
        for user in users:
            roles.assign_default_roles(db, entity=user)
        group = orm.Group(name="staff", properties={"k": [1, None]})
        group.users.extend(users[:2])
        server = orm.Server(proto="http", ip="127.0.0.1", port=8888, base_url="/user/ada/", cookie_name="c")
        started = datetime.datetime(2024, 1, 2, 3, 4, 5, 678901)
        spawner = orm.Spawner(name="", user=users[0], server=server, state={"pid": 12}, user_options={"image": "x"}, started=started)
        db.add_all([group, spawner, orm.Service(name="cull", admin=False, url="http://127.0.0.1/")])
        users[0].encrypted_auth_state = b"\x00\xff\x01secret"
        users[0].last_activity = datetime.datetime(2024, 5, 6, 7, 8, 9)
    db.commit()


def mlflow(url, rows):
    from mlflow.entities import ExperimentTag, Metric, Param, RunTag
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(url, "mlflow-artifacts:/")
    if not rows:
        return
    experiment = store.create_experiment("Überblick", tags=[ExperimentTag("a", "b")])
    for at in range(3):
        run = store.create_run(experiment, "ada", 1700000000000 + at, [RunTag("mlflow.source.name", "x")], f"run {at}").info.run_id
        for key, value in (("loss", 0.1 + 0.2), ("nan", float("nan")), ("inf", float("inf")), ("acc", float(at))):
            store.log_metric(run, Metric(key, value, 1700000000000 + at, at))
        store.log_param(run, Param("lr", "1e-3"))
    store.delete_run(run)


def wagtail(url, rows):
    import django
    from django.conf import settings

    kind, name = url.split(":", 1)
    engine = {"sqlite": "sqlite3", "postgresql": "postgresql"}[kind]
    apps = "wagtail.users wagtail.search wagtail.images wagtail.documents wagtail.admin wagtail modelcluster taggit"
    own = "auth contenttypes sessions messages postgres"
    settings.configure(
        SECRET_KEY="x",
        USE_TZ=True,
        STATIC_URL="/static/",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        WAGTAIL_SITE_NAME="x",
        WAGTAILADMIN_BASE_URL="http://x",
        INSTALLED_APPS=apps.split() + [f"django.contrib.{app}" for app in own.split()],
        DATABASES={"default": {"ENGINE": f"django.db.backends.{engine}", "NAME": name, "HOST": os.environ.get("PGHOST", ""), "USER": os.environ.get("PGUSER", "")}},
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    if not rows:
        return
    from django.contrib.auth.models import Group, User
    from wagtail.models import Page

    ada = User.objects.create_superuser("ada", "ada@example.org", "pw")
    User.objects.create_user("zoë", "z@example.org", "pw").groups.add(Group.objects.first())
    root = Page.objects.filter(depth=2).first()
    for at in range(3):
        page = root.add_child(instance=Page(title=f"Seite {at} ß", slug=f"s{at}", owner=ada))
        page.save_revision(user=ada).publish()


if __name__ == "__main__":
    {"optuna": optuna, "jupyterhub": jupyterhub, "mlflow": mlflow, "wagtail": wagtail}[sys.argv[1]](sys.argv[2], sys.argv[3:] == ["rows"])
