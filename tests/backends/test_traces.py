"""What each framework's profiler and compiler say of a training step, as recorded and as it runs here.

The HLO of a CPU and the profile of a CPU below are excerpts of recorded ones. Those of a GPU were not recorded on one:
their names are from the frameworks' sources (jaxlib/gpu_rnn.py; tsl/profiler/utils/xplane_schema.h).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from bench.backends.base import Executed, Trace
from bench.backends.registry import backend
from bench.cases.model import Model
from bench.measure import kernels
from bench.runner.client import Server
from bench.spec import LSTM, Bidirectional, Embedding, Kernel, Layer
from tests.networks import LENGTH, WORDS, case, model_of, rows


def entries(ran: Iterator[Executed]) -> dict[str, tuple[int, float]]:
    return {
        (f"{entry.within} > {entry.name}" if entry.within else entry.name): (entry.calls, round(entry.seconds, 9))
        for entry in ran
    }


# --- JAX ---------------------------------------------------------------------------------------------------------

CPU_HLO = """\
HloModule jit_train_step, is_scheduled=true, entry_computation_layout={(f32[8,8]{1,0})->f32[8,8]{1,0}}

FileNames
1 "/usr/lib/python3/keras/src/backend/jax/rnn.py"

%fused_computation (param_0: f32[8,8], param_1: f32[8,32]) -> f32[8,32] {
  %param_0 = f32[8,8]{1,0} parameter(0)
  ROOT %add.1 = f32[8,32]{1,0} add(%param_0, %param_0)
}

%region_1.7 (arg_tuple.1: (s32[], f32[8,8])) -> (s32[], f32[8,8]) {
  %arg_tuple.1 = (s32[], f32[8,8]{1,0}) parameter(0)
  %dot.5 = f32[8,32]{1,0} dot(%arg_tuple.1, %arg_tuple.1), lhs_contracting_dims={1}
  ROOT %fusion.2 = (s32[], f32[8,8]{1,0}) fusion(%dot.5), kind=kLoop, calls=%fused_computation
}

%region_2.8 (arg_tuple.4: (s32[], f32[8,8])) -> pred[] {
  ROOT %compare.1 = pred[] compare(%arg_tuple.4, %arg_tuple.4), direction=LT
}

%scatter_body (arg.9: (s32[])) -> (s32[]) {
  ROOT %copy.7 = (s32[]) copy(%arg.9)
}

ENTRY %main.99 (state.1: f32[8,8]) -> f32[8,8] {
  %state.1 = f32[8,8]{1,0} parameter(0)
  %while.28 = (s32[], /*index=5*/f32[8,8]{1,0:T(8,128)}) while(%state.1), condition=%region_2.8, body=%region_1.7, \
metadata={op_name="jit(train_step)/jvp(lstm)/while" stack_frame_id=143}, backend_config={"known_trip_count":{"n":"21"}}
  %while.9 = (s32[]) while(%state.1), condition=%region_2.8, body=%scatter_body, \
metadata={op_name="jit(train_step)/transpose(jvp(embedding))/scatter-add" stack_frame_id=3}
  ROOT %copy.72 = f32[8,8]{1,0} copy(%state.1)
}
"""

GPU_HLO = """\
ENTRY %main.9 (x: f32[8,8]) -> f32[8,8] {
  %cudnn.3 = (f32[8,8]{1,0}, u8[64]{0}) custom-call(%x), custom_call_target="cudnn_rnn_ffi", api_version=API_VERSION_FFI
  %cudnn.4 = (f32[8,8]{1,0}, u8[64]{0}) custom-call(%x), custom_call_target="cudnn_rnn_bwd_ffi"
  ROOT %gemm.1 = f32[8,8]{1,0} custom-call(%x), custom_call_target="__cublas$gemm"
}
"""


def test_a_loop_of_a_program_holds_what_ran_in_its_body_and_scatters_are_no_loops() -> None:
    jax_trace = pytest.importorskip("bench.backends.keras.jax_trace")
    ran = [("while.28", 1e-6), *[("dot.5", 2e-6), ("fusion.2", 1e-6)] * 21, ("copy.7", 5e-6), ("copy.72", 3e-6)]
    program = jax_trace.program_of([GPU_HLO, CPU_HLO], {name for name, _ in ran})
    assert entries(jax_trace.grouped(program, ran, 1)) == {
        "while jvp(lstm)": (21, 63e-6),
        "while jvp(lstm) > dot": (21, 42e-6),
        "while jvp(lstm) > fusion": (21, 21e-6),
        "scatter-add": (1, 5e-6),
        "scatter-add > copy": (1, 5e-6),
        "copy": (1, 3e-6),
    }


def test_a_custom_call_is_named_by_its_target_and_proves_a_fused_layer() -> None:
    jax_trace = pytest.importorskip("bench.backends.keras.jax_trace")
    ran = [("cudnn.3", 3e-6), ("cudnn.4", 5e-6), ("gemm.1", 2e-6)] * 2
    found = tuple(jax_trace.grouped(jax_trace.parse(GPU_HLO), ran, 2))
    assert entries(iter(found)) == {
        "custom-call cudnn_rnn_bwd_ffi": (2, 10e-6),
        "custom-call cudnn_rnn_ffi": (2, 6e-6),
        "custom-call __cublas$gemm": (2, 4e-6),
    }
    proof = kernels.prove("fused", "cuda", lstm(), Trace("HLO", 2, 20e-6, found))
    assert (proof.met, round(proof.share or 0, 3)) == (True, 0.8)


def test_a_program_that_no_profiler_saw_running_still_shows_its_loops_and_calls() -> None:
    jax_trace = pytest.importorskip("bench.backends.keras.jax_trace")
    assert entries(jax_trace.grouped(jax_trace.parse(CPU_HLO), [], 3)) == {"while jvp(lstm)": (63, 0.0)}
    assert set(entries(jax_trace.grouped(jax_trace.parse(GPU_HLO), [], 1))) == {
        "custom-call cudnn_rnn_ffi",
        "custom-call cudnn_rnn_bwd_ffi",
        "custom-call __cublas$gemm",
    }


# --- TensorFlow --------------------------------------------------------------------------------------------------


def space(plane: str, *names: str, seconds: float = 1e-6, operations: bool = False) -> object:
    """Return a profile of one plane whose events have these names, or (`operations`) belong to these operations."""
    xplane = pytest.importorskip("tensorflow.tsl.profiler.protobuf.xplane_pb2")
    made = xplane.XSpace()
    held = made.planes.add(name=plane)
    held.stat_metadata[1].name = "tf_op"
    line = held.lines.add()
    for number, name in enumerate(names, 1):
        held.event_metadata[number].name = "void some::kernel<float>" if operations else name
        event = line.events.add(metadata_id=number, duration_ps=round(seconds * 1e12))
        if operations:
            event.stats.add(metadata_id=1, str_value=name)
    return made


LOOP_OF_A_CPU = (
    "twin_model_1/lstm_1/while/body/_1/twin_model_1/lstm_1/while/lstm_cell_1/MatMul:_MklMatMul",
    "twin_model_1/lstm_1/while/cond/_2/Less:Less",
    "gradient_tape/twin_model_1/lstm_1/while/twin_model_1/lstm_1/while_grad/body/_154/gradient_tape/MatMul_2:MatMul",
    "UnsortedSegmentSum:UnsortedSegmentSum",
    "ExecutorState::Process",
    "EagerLocalExecute: __inference_one_step_on_data_4259",
)


def test_operations_in_a_loop_are_one_entry_for_each_direction_of_the_training() -> None:
    tensorflow_trace = pytest.importorskip("bench.backends.keras.tensorflow_trace")
    ran = list(tensorflow_trace.executed(space("/host:CPU", *LOOP_OF_A_CPU), "cpu"))
    assert entries(tensorflow_trace.grouped([*ran, *ran])) == {
        "While twin_model_1/lstm_1": (2, 4e-6),
        "While twin_model_1/lstm_1 > _MklMatMul": (2, 2e-6),
        "While twin_model_1/lstm_1 > Less": (2, 2e-6),
        "While twin_model_1/lstm_1, backward": (2, 2e-6),
        "While twin_model_1/lstm_1, backward > MatMul": (2, 2e-6),
        "UnsortedSegmentSum": (2, 2e-6),
    }


def test_on_a_gpu_the_time_is_that_of_the_kernels_and_the_host_says_what_was_asked_for() -> None:
    tensorflow_trace = pytest.importorskip("bench.backends.keras.tensorflow_trace")
    asked = space("/host:CPU", "twin_model/lstm/CudnnRNNV3:CudnnRNNV3", seconds=9.0)
    operation = "twin_model/lstm/CudnnRNNV3:CudnnRNNV3"
    kernel = space("/device:GPU:0", operation, operation, seconds=2e-6, operations=True)
    ran = [event for part in (asked, kernel) for event in tensorflow_trace.executed(part, "cuda")]
    assert entries(tensorflow_trace.grouped(ran)) == {"CudnnRNNV3": (1, 4e-6)}


def test_the_graph_tells_of_what_the_profiler_did_not_see() -> None:
    tensorflow_trace = pytest.importorskip("bench.backends.keras.tensorflow_trace")
    seen = [Executed("While twin_model/lstm", 21, 1.0)]
    types = Counter({"While": 1, "StatelessWhile": 1, "CudnnRNNV3": 2, "MatMul": 9})
    assert entries(tensorflow_trace.in_graph_only(types, seen, 3)) == {"CudnnRNNV3": (6, 0.0)}
    assert set(entries(tensorflow_trace.in_graph_only(types, [], 3))) == {"While", "StatelessWhile", "CudnnRNNV3"}


# --- Keras's engines on this CPU ---------------------------------------------------------------------------------


def lstm() -> Model:
    return model_of(case(Embedding(WORDS, 4), LSTM(3)))


@pytest.mark.parametrize("name", ["keras-tensorflow", "keras-jax", "keras-torch", "tf-keras"])
def test_keras_loops_on_this_cpu_and_is_caught_when_it_claims_a_fused_kernel(name: str) -> None:
    info = backend(name)
    if info.missing():
        pytest.skip(str(info.missing()))
    with Server(info, 1) as server:

        def traced(kernel: Kernel, *layers: Layer) -> tuple[Model, Trace]:
            model = model_of(case(Embedding(WORDS, 4), *layers))
            network = server.network(model, kernel, "cpu")
            x, y = rows(model.batch_size)
            network.train_step(x, y, None)
            return model, network.trace(x, y, None, 2)

        both_ways, seen = traced("generic", Bidirectional(LSTM(3, recurrent_activation="sigmoid")))
        for claimed in ("fused", "generic"):
            proof = kernels.prove(claimed, "cpu", both_ways, seen)
            assert proof.met == (claimed == "generic"), proof
        assert 0 < (proof.share or 0) < 1
        outermost = [entry for entry in seen.ran if entry.within is None]
        assert sum(entry.seconds for entry in outermost) == pytest.approx(seen.seconds)
        loops = [entry for entry in outermost if kernels.LOOP.fullmatch(entry.name)]
        if name == "keras-torch":
            assert not loops, "a loop in Python has no name"
        elif name == "tf-keras":
            # There and back; the functions of both directions have the same paths.
            assert [entry.calls for entry in loops] == [4 * LENGTH] * 2
        else:
            # There and back, each in both directions of the layer.
            assert [entry.calls for entry in loops] == [2 * LENGTH] * 4
        picked = {entry.name: entry.calls for entry in seen.ran if kernels.PICKED.fullmatch(entry.name)}
        assert picked == ({"picked standard_lstm": 4} if name == "tf-keras" else {})
