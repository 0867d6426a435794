// TensorFlow's operation KernelLaunch: a call of a kernel (cupy_kernels/backend/kernel.h) on the
// host with tensors as they lie, without Python. It is written against TensorFlow's C interface,
// which stays the same between its versions.
//
// Attributes, all of them whole numbers (launch.py makes them):
//   function   the address of the kernel
//   arguments  what it is called with, in threes: {NONE, 0, 0}: a null pointer; {INPUT, i, 0} and
//              {OUTPUT, i, 0}: an array; else a size
//   shapes     of each output the number of its axes, and a size for each of them
//   over       of each output the input that it may be written over, or -1
// A size is {input, axis, more}: of this axis, -1 for the entries of all axes, and `more` added, at
// least 0; {SIZE, 0, more} is a number by itself.
#include <tensorflow/c/kernels.h>
#include <tensorflow/c/ops.h>
#include <tensorflow/c/tf_tensor.h>

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace {

typedef long long Word;  // a pointer or a number, as kernels take them
typedef std::vector<int64_t> Numbers;

enum { NONE = -1, INPUT = -2, OUTPUT = -3, SIZE = -4 };
const int MOST = 32;        // arguments of a kernel
const size_t FEW = 131072;  // bytes of its tensors that a team of threads is not worth waking for

template <size_t... I>
void call_with(void* function, const Word* words, std::index_sequence<I...>) {
  ((void (*)(decltype((void)I, Word())...))function)(words[I]...);
}

template <size_t N>
void call(void* function, const Word* words, size_t count) {
  if (count == N)
    call_with(function, words, std::make_index_sequence<N>());
  else if constexpr (N < MOST)
    call<N + 1>(function, words, count);
}

// Runs kernels of several threads, one at a time. All of them are started by one thread: each that
// starts some keeps a team of its own, and TensorFlow has as many as there are cores.
class Runner {
 public:
  static void run(const std::function<void()>& work) {
    static Runner* one = new Runner;  // its thread may outlive all that is static
    one->run_next(work);
  }

 private:
  Runner() { std::thread(&Runner::serve, this).detach(); }

  void run_next(const std::function<void()>& work) {
    std::lock_guard<std::mutex> turn(turn_);
    std::unique_lock<std::mutex> lock(mutex_);
    work_ = &work;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !work_; });
  }

  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return work_; });
      (*work_)();
      work_ = nullptr;
      changed_.notify_all();
    }
  }

  std::mutex turn_, mutex_;
  std::condition_variable changed_;
  const std::function<void()>* work_ = nullptr;
};

struct Kernel {
  void* function = nullptr;
  Numbers arguments, shapes, over;
};

class Context {
 public:
  explicit Context(TF_OpKernelContext* context) : context_(context), status_(TF_NewStatus()) {}
  ~Context() {
    for (TF_Tensor* tensor : inputs_)
      if (tensor) TF_DeleteTensor(tensor);
    for (TF_Tensor* tensor : outputs_) TF_DeleteTensor(tensor);
    TF_DeleteStatus(status_);
  }

  void run(const Kernel& kernel) {
    if (!read() || !allocate(kernel)) return TF_OpKernelContext_Failure(context_, status_);
    std::vector<Word> words;
    for (size_t i = 0; i < kernel.arguments.size(); i += 3)
      words.push_back(word(&kernel.arguments[i]));
    if (bytes() < FEW) words.back() = 1;
    auto work = [&] {
      try {
        call<1>(kernel.function, words.data(), words.size());
      } catch (const std::exception& error) {  // there is no memory, mostly
        TF_SetStatus(status_, TF_RESOURCE_EXHAUSTED, error.what());
      }
    };
    words.back() > 1 ? Runner::run(work) : work();
    if (!fine()) TF_OpKernelContext_Failure(context_, status_);
  }

 private:
  size_t bytes() const {
    size_t sum = 0;
    for (const TF_Tensor* tensor : inputs_) sum += TF_TensorByteSize(tensor);
    for (const TF_Tensor* tensor : outputs_) sum += TF_TensorByteSize(tensor);
    return sum;
  }

  bool fine() const { return TF_GetCode(status_) == TF_OK; }

  bool read() {
    inputs_.resize(TF_NumInputs(context_));
    for (int i = 0; i < (int)inputs_.size(); ++i)
      if (!read(i)) return false;
    return true;
  }

  bool read(int i) {
    TF_GetInput(context_, i, &inputs_[i], status_);
    return fine();
  }

  void release(int i) {
    TF_DeleteTensor(inputs_[i]);
    inputs_[i] = nullptr;
  }

  bool allocate(const Kernel& kernel) {
    const int64_t* at = kernel.shapes.data();
    for (int i = 0; i < TF_NumOutputs(context_); ++i) {
      Numbers shape(*at++);
      TF_DataType dtype = TF_ExpectedOutputDataType(context_, i);
      size_t bytes = TF_DataTypeSize(dtype);
      for (int64_t& n : shape) n = size(at), at += 3, bytes *= n;
      int over = (int)kernel.over[i], axes = (int)shape.size();
      if (over >= 0) release(over);  // what is held here, too, is not written over
      TF_Tensor* tensor =
          over < 0 ? TF_AllocateOutput(context_, i, dtype, shape.data(), axes, bytes, status_)
                   : TF_ForwardInputOrAllocateOutput(context_, &over, 1, i, shape.data(), axes,
                                                     nullptr, status_);
      if (!fine()) return false;
      outputs_.push_back(tensor);
      if (over >= 0 && !read(over)) return false;
    }
    return true;
  }

  int64_t size(const int64_t* of) const {
    if (of[0] == SIZE) return of[2];
    const TF_Tensor* tensor = inputs_[of[0]];
    int64_t n = of[1] < 0 ? TF_TensorElementCount(tensor) : TF_Dim(tensor, (int)of[1]);
    return n + of[2] < 0 ? 0 : n + of[2];
  }

  Word word(const int64_t* argument) const {
    switch (argument[0]) {
      case NONE: return 0;
      case INPUT: return (Word)TF_TensorData(inputs_[argument[1]]);
      case OUTPUT: return (Word)TF_TensorData(outputs_[argument[1]]);
      default: return size(argument);
    }
  }

  TF_OpKernelContext* context_;
  TF_Status* status_;
  std::vector<TF_Tensor*> inputs_, outputs_;
};

Numbers numbers_of(TF_OpKernelConstruction* context, const char* name, TF_Status* status) {
  int32_t count = 0, bytes = 0;
  TF_OpKernelConstruction_GetAttrSize(context, name, &count, &bytes, status);
  Numbers found(count < 0 ? 0 : count);
  if (!found.empty())
    TF_OpKernelConstruction_GetAttrInt64List(context, name, found.data(), count, status);
  return found;
}

void* create(TF_OpKernelConstruction* context) {
  TF_Status* status = TF_NewStatus();
  Kernel* kernel = new Kernel;
  int64_t address = 0;
  TF_OpKernelConstruction_GetAttrInt64(context, "function", &address, status);
  kernel->function = (void*)address;
  kernel->arguments = numbers_of(context, "arguments", status);
  kernel->shapes = numbers_of(context, "shapes", status);
  kernel->over = numbers_of(context, "over", status);
  if (TF_GetCode(status) != TF_OK) TF_OpKernelConstruction_Failure(context, status);
  TF_DeleteStatus(status);
  return kernel;
}

void compute(void* kernel, TF_OpKernelContext* context) {
  Context(context).run(*(const Kernel*)kernel);
}

void remove(void* kernel) { delete (Kernel*)kernel; }

void unknown(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
}

__attribute__((constructor)) void make_known() {
  TF_Status* status = TF_NewStatus();
  TF_OpDefinitionBuilder* op = TF_NewOpDefinitionBuilder("KernelLaunch");
  TF_OpDefinitionBuilderAddInput(op, "inputs: dtypes");
  TF_OpDefinitionBuilderAddOutput(op, "outputs: results");
  TF_OpDefinitionBuilderAddAttr(op, "dtypes: list(type) >= 1");
  TF_OpDefinitionBuilderAddAttr(op, "results: list(type) >= 1");
  TF_OpDefinitionBuilderAddAttr(op, "function: int");
  for (const char* list : {"arguments: list(int)", "shapes: list(int)", "over: list(int)"})
    TF_OpDefinitionBuilderAddAttr(op, list);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(op, unknown);
  TF_RegisterOpDefinition(op, status);
  TF_KernelBuilder* kernel = TF_NewKernelBuilder("KernelLaunch", "CPU", create, compute, remove);
  TF_RegisterKernelBuilder("KernelLaunch", kernel, status);
  TF_DeleteStatus(status);
}

}  // namespace
