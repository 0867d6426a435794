"""Recipes are found by their files; what is wrong with one is told with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.job import JobError
from workflows import load
from workflows.graph import resolve
from workflows.load import load_recipes, recipe_files, recipe_names

HEAD = "from recipes.recipe import Recipe, Score, Stage\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to write recipes in, which is also where we are."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def error(path: Path, text: str) -> str:
    """Return the message that a recipe file gives."""
    path.write_text(text)
    with pytest.raises(JobError) as caught:
        load_recipes([str(path)])
    return str(caught.value)


def test_a_new_recipe_is_one_new_file(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    package = folder / "recipes"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "mine.py").write_text(HEAD + "RECIPE = Recipe(name='mine', stages={})\n")
    (package / "helper.py").write_text("ANSWER = 42\n")
    monkeypatch.setattr(load.recipes, "__file__", str(package / "__init__.py"))
    assert list(recipe_files()) == ["mine"]


def test_a_recipe_may_be_a_file_elsewhere(folder: Path) -> None:
    path = folder / "mine.py"
    path.write_text(HEAD + "RECIPE = Recipe(name='mine', stages={'a': Stage(job='x')})\n")
    loaded = load_recipes([str(path), "./mine.py"])
    assert list(loaded) == [str(path)]
    assert loaded[str(path)].stages["a"].made_at == f"{path}:2"


def test_recipes_by_words_and_commas(folder: Path) -> None:
    assert recipe_names(["a,b", "c", ",d,"]) == ["a", "b", "c", "d"]
    assert recipe_names("a, b ,") == ["a", "b"] and recipe_names("") == []
    (folder / "x,y").mkdir()
    (folder / "x,y" / "mine.py").touch()
    assert recipe_names(["x,y/mine.py"]) == recipe_names("x,y/mine.py") == ["x,y/mine.py"]


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(JobError, match=r"unknown recipe 'comands'; did you mean 'commands'\?"):
        load_recipes(["comands"])


def test_all_wrong_recipes_are_told_at_once(folder: Path) -> None:
    with pytest.raises(JobError) as caught:
        load_recipes(["comands", "nowhere.py"])
    assert len(str(caught.value).splitlines()) == 2
    assert "recipe nowhere.py: found no such file" in str(caught.value)


def test_two_recipes_of_one_name(folder: Path) -> None:
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "mine.py").write_text(HEAD + "RECIPE = Recipe(name='mine', stages={})\n")
    with pytest.raises(JobError, match=r"two recipes have the name 'mine': one/mine.py and .*two"):
        load_recipes(["one/mine.py", "two/mine.py"])


def test_a_recipe_with_the_name_of_one_of_ours(folder: Path) -> None:
    (folder / "commands.py").touch()
    with pytest.raises(JobError, match=r"two recipes have the name 'commands': .*; rename one"):
        load_recipes(["commands.py"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "mine.py: found RECIPE = None, needed a Recipe"),
        ("RECIPE = {}\n", "mine.py: found RECIPE = {}, needed a Recipe"),
        ("x = 1\nif x\n    pass\n", "mine.py:2: expected ':'"),
        ("x = 1\nRECIPE = undefined\n", "mine.py:2: NameError: name 'undefined' is not defined"),
        (
            HEAD + "RECIPE = Recipe(name='mine', stages={\n 'a': Stage(jbo='x')})\n",
            "mine.py:3: TypeError: Stage.__init__() got an unexpected keyword argument 'jbo'"
            "; did you mean 'job'?",
        ),
        (
            "from recipes.pipelines.transducer import Sizes\nRECIPE = Sizes(lables=3)\n",
            "mine.py:2: TypeError: Sizes.__init__() got an unexpected keyword argument 'lables'"
            "; did you mean 'labels'?",
        ),
        (
            HEAD + "RECIPE = Recipe(name='mine', stages={'a': Stge(job='x')})\n",
            "mine.py:2: NameError: name 'Stge' is not defined; did you mean 'Stage'?",
        ),
        (
            HEAD + "RECIPE = Recipe(name='other', stages={})\n",
            "mine.py:2: found recipe name 'other', needed the name of the file, 'mine'",
        ),
        (
            HEAD + "RECIPE = Recipe(name='mine', stages={'../a': Stage(job='x')})\n",
            "mine.py: found stage name '../a', needed letters, digits and _ . , = + - only",
        ),
        (
            HEAD + "RECIPE = Recipe(name='mine', stages={'a': 'b'})\n",
            "mine.py: stage 'a': found 'b', needed a Stage",
        ),
        (
            HEAD + "RECIPE = Recipe(name='mine', stages={\n'a': Stage(job='x', params=[3])})\n",
            "mine.py:3: stage 'a': params: found [3], needed a dict",
        ),
        (
            HEAD + "RECIPE = Recipe(name='mine', stages={}, scores=[3])\n",
            "mine.py: scores: found [3], needed a tuple of Score",
        ),
        (
            HEAD + "RECIPE = Recipe(name='mine', stages={\n'a': Stage(job='x'),\n'a': None})\n",
            "mine.py:4: key 'a' is there twice",
        ),
        (
            HEAD + "BASE = Recipe(name='b', stages={'ctc': Stage(job='x')})\n"
            "RECIPE = BASE.replace('mine', cct={'a': 1})\n",
            "mine.py:3: ValueError: recipe 'b' has no stage 'cct'; there is ctc",
        ),
        (
            HEAD + "RECIPE = Recipe(name='mine', stages=['a'])\n",
            "mine.py: stages: found ['a'], needed a dict of Stage",
        ),
        (
            HEAD + "RECIPE = Recipe(name='mine', stages={'a': Stage(job=None)})\n",
            "mine.py:2: stage 'a': job: found None, needed a name",
        ),
        (
            HEAD + f"RECIPE = Recipe(name='mine', stages={{'{'a' * 201}': Stage(job='x')}})\n",
            f"mine.py: found a stage name of 201 characters, needed 200 at most: {'a' * 201}",
        ),
    ],
)
def test_wrong_recipe_files(folder: Path, text: str, message: str) -> None:
    assert error(folder / "mine.py", text) == message


def test_a_recipe_that_is_not_there_to_be_imported(folder: Path) -> None:
    found = error(folder / "mine.py", "from recipes import comands\n")
    assert found.startswith("mine.py:1: ImportError: cannot import name 'comands'")
    assert found.endswith("; did you mean 'commands'?")


@pytest.mark.parametrize("name", ["a b", "a;b", 'a"b', "a'b", "-a", "ä", "a,b"])
def test_file_names_that_are_no_names(folder: Path, name: str) -> None:
    path = folder / f"{name}.py"
    assert error(path, "").endswith(", needed letters, digits and _ . = + - only")


def test_names_that_results_has(folder: Path) -> None:
    for name in ("report", "wer.txt", "recipes.json"):
        message = f"{name}.py: found the name {name!r}, which results/ has; rename it"
        assert error(folder / f"{name}.py", "") == message


def test_a_name_that_is_too_long(folder: Path) -> None:
    message = error(folder / f"{'a' * 101}.py", "")
    assert message.endswith("a.py: found 101 characters, needed 100 at most")


def test_inputs_and_scores_that_are_no_names_are_told(folder: Path) -> None:
    path = folder / "mine.py"
    path.write_text(
        HEAD + "STAGE = Stage(job='units.encode', inputs={1: 'a.b', 'corpus': 7, 'units': 'a.b'})\n"
        "SCORE = Score(system='s', set='t', stage=None)\n"
        "RECIPE = Recipe(name='mine', stages={'a': STAGE}, scores=(SCORE,))\n"
    )
    with pytest.raises(JobError) as caught:
        resolve(load_recipes([str(path)])[str(path)])
    assert "units.encode has no input 1; there are: corpus, units" in str(caught.value)
    assert "input 'corpus': found 7, needed 'stage.output'" in str(caught.value)
    assert "mine.py:3: score 's' on 't': found stage None, which the recipe" in str(caught.value)
