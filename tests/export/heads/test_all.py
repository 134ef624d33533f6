"""What every head must do, and what the ones besides the SVM do."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from edgeaudio.errors import EdgeAudioError, MissingExtraError
from edgeaudio.network import open_session
from edgeaudio_export.heads import normalisers, training
from edgeaudio_export.heads.base import Head
from edgeaudio_export.heads.dense import D128Head, D512Head, MlpHead
from edgeaudio_export.heads.knn import KnnHead
from edgeaudio_export.heads.svm import SvmHead
from tests.export.heads.clusters import clusters

KINDS = ("svm", "knn", "d128", "d512", "mlp")


def make(kind: str) -> Head:
    """A head, with less training than it has by default."""
    if kind in ("d128", "d512", "mlp"):
        pytest.importorskip("torch")
    return {
        "svm": SvmHead,
        "knn": KnnHead,
        "d128": lambda: D128Head(epochs=60),
        "d512": lambda: D512Head(epochs=40),
        "mlp": lambda: MlpHead(epochs=8, grid=(1e-3, 1e-4)),
    }[kind]()


@pytest.fixture(params=KINDS)
def head(request: pytest.FixtureRequest) -> Head:
    return make(request.param)


@pytest.mark.parametrize("classes", [2, 5])
def test_graph_and_estimator_agree(head: Head, classes: int) -> None:
    X, y = clusters(classes, each=30)
    assert head.fit(X, y) is head
    new, labels = clusters(classes, each=10, seed=0)
    new = new + 0.1 * np.random.default_rng(9).standard_normal(new.shape).astype(np.float32)
    found = open_session(head.graph().SerializeToString()).run(None, {"embedding": new})[0]
    assert np.abs(found - head.predict_proba(new)).max() <= 1e-5
    assert np.allclose(found.sum(axis=1), 1, atol=1e-6)
    assert np.array_equal(head.classes_[found.argmax(axis=1)], head.predict(new))
    assert head.check_graph(new) <= 1e-5
    assert np.mean(head.predict(new) == labels) > 0.9


def test_the_same_data_give_the_same_head(head: Head) -> None:
    X, y = clusters(3)
    one = head.fit(X, y).predict_proba(X)
    np.random.default_rng().random(3)
    assert np.array_equal(clone(head).fit(X, y).predict_proba(X), one)


def test_a_class_of_one_window_can_be_learned(head: Head) -> None:
    X, y = clusters(3, each=12)
    keep = np.r_[0:13, 24:36]  # of the second class, one
    found = head.fit(X[keep], y[keep]).predict_proba(X[keep])
    assert found.shape == (25, 3)
    assert np.isfinite(found).all()


def test_a_wrong_graph_is_noticed(head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = clusters(3)
    head.fit(X, y)
    real = head.reference
    monkeypatch.setattr(head, "reference", lambda e: real(e) + np.array([0, 0, 0.01]))
    with pytest.raises(EdgeAudioError, match=f"The graph of the head {head.kind} and what"):
        head.check_graph(X)


def test_knn_is_scikit_learns() -> None:
    X, y = clusters(4)
    scaler = StandardScaler().fit(X)
    peer = KNeighborsClassifier(5, weights="distance").fit(scaler.transform(X), y)
    new = X + 0.5 * np.random.default_rng(3).standard_normal(X.shape)
    found = KnnHead().fit(X, y).predict_proba(new)
    assert np.abs(found - peer.predict_proba(scaler.transform(new))).max() <= 1e-5


def test_knn_with_fewer_windows_than_neighbours() -> None:
    X, y = clusters(2, each=1)
    head = KnnHead().fit(X, y)
    assert head.predict(X).tolist() == y.tolist()
    assert head.check_graph(X) <= 1e-5


def test_the_papers_networks() -> None:
    assert (D128Head().epochs, D128Head.hidden, D128Head.normaliser) == (500, (128,), "min-max")
    assert (D512Head().epochs, D512Head.hidden) == (500, (512, 128))
    mlp = MlpHead()
    assert (mlp.epochs, mlp.patience, mlp.hidden) == (50, 20, (512, 128))
    assert (mlp.grid, mlp.normaliser) == ((1e-5, 1e-4, 1e-3), "standard")


def test_rare_classes_weigh_more() -> None:
    """With two classes that can't be told apart, balanced weights give each the same share."""
    pytest.importorskip("torch")
    X = np.random.default_rng(0).standard_normal((400, 4))
    y = np.array(["often"] * 360 + ["rare"] * 40)
    share = D128Head(epochs=5).fit(X, y).predict_proba(X).mean(axis=0)
    assert share == pytest.approx([0.5, 0.5], abs=0.1)


def test_mlp_stops_where_the_loss_was_least(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    epochs = 0
    real = training.Training.epoch

    def counted(self: training.Training) -> None:
        nonlocal epochs
        epochs += 1
        real(self)

    monkeypatch.setattr(training.Training, "epoch", counted)
    X, _ = clusters(2, each=100)
    y = np.random.default_rng(1).permutation(["a", "b"] * 100)  # nothing to learn
    MlpHead(grid=(1e-3,), epochs=400, patience=3).fit(X, y)
    assert epochs < 100


@pytest.mark.parametrize("dropout", [False, True])
def test_gradients_are_those_of_autograd(dropout: bool) -> None:
    """A step of the written-out training, and the same step by torch's own modules."""
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(1)
    X, y = random.standard_normal((90, 7)).astype(np.float32), np.arange(90) % 13 % 3
    with training.one_thread(0):
        layers = training.drawn_layers((7, 20, 9, 3))
        network = training.as_torch(layers)
        masks = [torch.ones(90, n) for n in (20, 9)]
        if dropout:
            bits = np.random.default_rng(5)
            masks = [
                torch.from_numpy(
                    np.unpackbits(np.frombuffer(bits.bytes((90 * n + 7) // 8), np.uint8))[: 90 * n]
                ).view(90, n)
                * 2.0
                for n in (20, 9)
            ]
        order = torch.randperm(90)
        x, targets = torch.from_numpy(X)[order], torch.from_numpy(y)[order]
        for linear, mask in zip(network[::2], [*masks, None], strict=True):
            x = linear(x) if mask is None else torch.relu(linear(x)) * mask
        weights = torch.from_numpy(training.balanced_weights(y))
        torch.nn.CrossEntropyLoss(weights)(x, targets).backward()
        drawn = np.random.default_rng(5) if dropout else None
        found = training.Training(layers, X, y, rate=1e-3, decay=0.0, dropout=drawn)
        found._step(order)
    for linear, weight, bias in zip(network[::2], found._weights, found._biases, strict=True):
        assert torch.allclose(linear.weight.grad.T, weight.grad, atol=1e-7)
        assert torch.allclose(linear.bias.grad, bias.grad, atol=1e-7)


def test_a_tenth_of_the_groups_of_each_class_is_held_out() -> None:
    targets = np.repeat([0, 1, 2], [100, 50, 4])
    groups = np.repeat(np.arange(34), [5] * 20 + [5] * 10 + [1] * 4)
    held = training.held_out(targets, groups, 0)
    assert [len(np.unique(groups[held & (targets == c)])) for c in range(3)] == [2, 1, 1]
    assert not set(groups[held]) & set(groups[~held])
    assert not np.array_equal(held, training.held_out(targets, groups, 1))


def test_no_class_is_held_out_whole() -> None:
    assert not training.held_out(np.array([0, 0, 1]), np.array(["a", "a", "b"]), 0).any()
    # The only group of one class is the first of another.
    held = training.held_out(np.array([0, 1, 1]), np.array(["a", "a", "b"]), 0)
    assert held.tolist() in ([False] * 3, [False, False, True])


def test_other_seeds_give_other_networks() -> None:
    pytest.importorskip("torch")
    X, y = clusters(3)
    found = [D128Head(epochs=3, random_state=k).fit(X, y).predict_proba(X) for k in (0, 1)]
    assert not np.array_equal(*found)


def test_training_leaves_torch_as_it_was() -> None:
    torch = pytest.importorskip("torch")
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    make("d128").fit(*clusters(2))
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"The head d128 needs torch.*\.\[train\]"):
        D128Head.ready()
    SvmHead.ready()


@pytest.mark.parametrize("kind", ["min-max", "standard", "none"])
def test_normalisers(kind: normalisers.NormaliserName) -> None:
    X = np.random.default_rng(2).standard_normal((50, 6)) * [1, 2, 3, 4, 5, 1e-9] + 7
    offset, scale = normalisers.fit(kind, X)
    found = (X - offset) * scale
    if kind == "none":
        assert np.array_equal(found, X)
    elif kind == "min-max":
        assert np.allclose(found[:, :5].min(axis=0), 0)
        assert np.allclose(found[:, :5].max(axis=0), 1)
    else:
        assert np.allclose(found[:, :5].std(axis=0), 1)
        assert np.allclose(found.mean(axis=0), 0, atol=1e-6)
    assert np.abs(found[:, 5] - found[0, 5]).max() < 1e-6  # what hardly moved is not blown up


def test_warnings_of_torch_are_errors_here() -> None:
    """A fit must be silent: users see what libraries print."""
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make("d128").fit(*clusters(2))
