// One code of each video through all layers of a transformer, on a CPU.
//
// Computes what `Decoder.peek` computes with PyTorch (cvg/transformer/decoder.py). With one row a
// video, reading weights is what costs, so they lie in the order in which they are read:
// [output / BLOCK][input][BLOCK]; each is loaded once for up to ROWS videos. Weights may be
// bfloat16, two inputs side by side; sums are float32, and so is all else, but that processors with
// an instruction for it multiply such weights by inputs rounded to bfloat16 too. Every number is
// computed by one thread, in an order that depends neither on the number of threads nor on that of
// videos.
//
// No -ffast-math: it would flush denormal numbers in the whole process.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <type_traits>
#include <vector>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16, VECTORS = 4, ROWS = 4;
#elif defined(__AVX__)
constexpr int LANES = 8, VECTORS = 4, ROWS = 2;
#else
constexpr int LANES = 4, VECTORS = 4, ROWS = 4;
#endif
constexpr int BLOCK = LANES * VECTORS;  // outputs that are computed together
constexpr int SPINS = 4000;             // looks at a flag before a thread yields or sleeps
constexpr int AHEAD = 8192;             // bytes that are asked for before their turn
constexpr int LINE = 64;                // bytes of a line of the cache
constexpr float EPSILON = 1e-5f;        // of nn.LayerNorm

typedef float Vector __attribute__((vector_size(LANES * 4)));
typedef int32_t Whole __attribute__((vector_size(LANES * 4)));
typedef uint32_t Bits __attribute__((vector_size(LANES * 4)));
typedef uint16_t Half __attribute__((vector_size(LANES * 2)));

static inline Vector load(const float* from) {
  Vector value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

static inline Vector load(const uint16_t* from) {
  Half half;
  std::memcpy(&half, from, sizeof half);
  Bits bits = __builtin_convertvector(half, Bits) << 16;
  Vector value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Asks memory for what will be read after `from`: COUNT vectors, line by line.
template <int COUNT, typename Number>
static inline void ask_ahead(const Number* from) {
  const char* next = reinterpret_cast<const char*>(from) + AHEAD;
  for (size_t byte = 0; byte < COUNT * LANES * sizeof(Number); byte += LINE)
    __builtin_prefetch(next + byte);
}

static inline void store(float* to, Vector value) { std::memcpy(to, &value, sizeof value); }

static inline Vector spread(float value) { return value - Vector{}; }

static inline float sum(Vector value) {
  float total = 0;
  for (int lane = 0; lane < LANES; ++lane) total += value[lane];
  return total;
}

// e to the power of x, within 2 units in the last place; 0 below what float32 has as normal.
// Source: the Cephes library's expf (range reduction and polynomial).
static inline Vector exponential(Vector x) {
  const Vector least = spread(-87.3f), rounding = spread(12582912.f);  // 1.5 * 2^23
  Vector bounded = x < least ? least : x;
  Vector turns = (bounded * 1.44269504088896341f + rounding) - rounding;
  Vector rest = bounded - turns * 0.693359375f - turns * -2.12194440e-4f;
  Vector p = spread(1.9875691500e-4f);
  p = p * rest + 1.3981999507e-3f;
  p = p * rest + 8.3334519073e-3f;
  p = p * rest + 4.1665795894e-2f;
  p = p * rest + 1.6666665459e-1f;
  p = p * rest + 5.0000001201e-1f;
  p = p * rest * rest + rest + 1.0f;
  Whole exponent = (__builtin_convertvector(turns, Whole) + 127) << 23;
  Vector power;
  std::memcpy(&power, &exponent, sizeof power);
  return x < least ? Vector{} : p * power;
}

// x times the chance that a normal variable is below x, within 1.5e-7 |x|.
// Source: Abramowitz & Stegun 1964, eq. 7.1.26, for the error function.
static inline Vector gelu(Vector x) {
  Vector y = x * 0.70710678118654752f;
  Vector size = y < 0.f ? -y : y;
  Vector t = 1.0f / (1.0f + 0.3275911f * size);
  Vector p = spread(1.061405429f);
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  Vector error = 1.0f - p * t * exponential(-size * size);
  return 0.5f * x * (1.0f + (y < 0.f ? -error : error));
}

static inline int rounded_up(int count, int to) { return (count + to - 1) / to * to; }

static inline uint16_t to_half(float value) {  // round to nearest, ties to even
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

// Memory in large pages where the system has them: weights are read faster than small ones are found.
template <typename Number>
struct Paged {
  typedef Number value_type;
  static constexpr size_t PAGE = size_t(2) << 20;

  Paged() = default;
  template <typename Other>
  Paged(const Paged<Other>&) {}

  Number* allocate(size_t count) {
    const size_t size = (count * sizeof(Number) + PAGE - 1) / PAGE * PAGE;
    void* memory = std::aligned_alloc(PAGE, size);
    if (!memory) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    madvise(memory, size, MADV_HUGEPAGE);
#endif
    return static_cast<Number*>(memory);
  }
  void deallocate(Number* memory, size_t) { std::free(memory); }
  bool operator==(const Paged&) const { return true; }
  bool operator!=(const Paged&) const { return false; }
};

static inline void set(float* to, float value) { *to = value; }
static inline void set(uint16_t* to, float value) { *to = to_half(value); }

// Numbers in float32, or rounded to bfloat16.
struct Numbers {
  bool half = false;
  std::vector<float, Paged<float>> single;
  std::vector<uint16_t, Paged<uint16_t>> halves;

  void clear(size_t count, bool as_half) {
    half = as_half;
    single.assign(half ? 0 : count, 0.f);
    halves.assign(half ? count : 0, 0);
  }

  template <typename Use>
  void with(size_t begin, Use use) {
    if (half) use(halves.data() + begin);
    else use(single.data() + begin);
  }
};

// The weights [outputs, inputs] of a linear layer, laid out anew, and its biases or zeros.
struct Matrix {
  int outputs = 0, inputs = 0;
  Numbers weights;
  std::vector<float> bias;

  // Inputs of halves come in pairs: their number is even, as widths are, whose heads are turned so.
  void fill(const float* values, const float* biases, int rows, int columns, bool half) {
    outputs = rows, inputs = columns;
    const int padded = rounded_up(rows, BLOCK);
    bias.assign(padded, 0.f);
    if (biases) std::copy(biases, biases + rows, bias.begin());
    weights.clear(size_t(padded) * columns, half);
    weights.with(0, [&](auto* places) {
      for (int row = 0; row < rows; ++row)
        for (int column = 0; column < columns; ++column)
          set(places + place_of(row, column), values[size_t(row) * columns + column]);
    });
  }

  // Where a weight lies; in halves each pair of inputs is side by side.
  size_t place_of(int row, int column) const {
    const size_t block = size_t(row / BLOCK) * inputs * BLOCK;
    if (!weights.half) return block + size_t(column) * BLOCK + row % BLOCK;
    return block + size_t(column / 2 * 2) * BLOCK + row % BLOCK * 2 + column % 2;
  }

  int blocks() const { return rounded_up(outputs, BLOCK) / BLOCK; }
};

// Products of one block of outputs with some rows of inputs.
template <int COUNT, typename Weight>
static inline void multiply_rows(const Weight* weights, const float* inputs, int stride, int size,
                                 const float* bias, float (*results)[BLOCK]) {
  Vector sums[COUNT][VECTORS];
  for (int row = 0; row < COUNT; ++row)
    for (int v = 0; v < VECTORS; ++v) sums[row][v] = load(bias + v * LANES);
  for (int input = 0; input < size; ++input) {
    ask_ahead<VECTORS>(weights + size_t(input) * BLOCK);
    Vector weight[VECTORS];
    for (int v = 0; v < VECTORS; ++v) weight[v] = load(weights + size_t(input) * BLOCK + v * LANES);
    for (int row = 0; row < COUNT; ++row) {
      const Vector value = spread(inputs[size_t(row) * stride + input]);
      for (int v = 0; v < VECTORS; ++v) sums[row][v] += weight[v] * value;
    }
  }
  for (int row = 0; row < COUNT; ++row)
    for (int v = 0; v < VECTORS; ++v) store(results[row] + v * LANES, sums[row][v]);
}

// Two successive inputs, as weights that are halves are multiplied by them.
#if defined(__AVX512BF16__)
typedef uint32_t Pair;

static inline Pair pair_of(const float* two) {
  return to_half(two[0]) | uint32_t(to_half(two[1])) << 16;
}

static inline Vector add_products(Vector total, Bits weights, Pair pair) {
  const Bits inputs = pair - Bits{};
  return (Vector)_mm512_dpbf16_ps((__m512)total, (__m512bh)weights, (__m512bh)inputs);
}
#else
struct Pair {
  float first, second;
};

static inline Pair pair_of(const float* two) { return {two[0], two[1]}; }

static inline Vector as_numbers(Bits bits) {
  Vector value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

static inline Vector add_products(Vector total, Bits weights, Pair pair) {
  total += as_numbers(weights << 16) * pair.first;
  return total + as_numbers(weights & 0xffff0000u) * pair.second;
}
#endif

// The same as `multiply_rows` with weights that are halves; `size` is that of pairs.
template <int COUNT>
static inline void multiply_rows(const uint16_t* weights, const Pair* inputs, int stride, int size,
                                 const float* bias, float (*results)[BLOCK]) {
  Vector sums[COUNT][VECTORS];
  for (int row = 0; row < COUNT; ++row)
    for (int v = 0; v < VECTORS; ++v) sums[row][v] = load(bias + v * LANES);
  for (int input = 0; input < size; ++input, weights += 2 * BLOCK) {
    ask_ahead<2 * VECTORS>(weights);
    Bits weight[VECTORS];
    std::memcpy(weight, weights, sizeof weight);
    for (int row = 0; row < COUNT; ++row)
      for (int v = 0; v < VECTORS; ++v)
        sums[row][v] = add_products(sums[row][v], weight[v], inputs[size_t(row) * stride + input]);
  }
  for (int row = 0; row < COUNT; ++row)
    for (int v = 0; v < VECTORS; ++v) store(results[row] + v * LANES, sums[row][v]);
}

template <typename Weight, typename Input>
static void multiply_some(const Weight* weights, const Input* inputs, int size, const float* bias,
                          int count, float (*results)[BLOCK]) {
  switch (count) {
    case 1: return multiply_rows<1>(weights, inputs, size, size, bias, results);
    case 2: return multiply_rows<2>(weights, inputs, size, size, bias, results);
    case 3: return multiply_rows<3>(weights, inputs, size, size, bias, results);
    default: return multiply_rows<4>(weights, inputs, size, size, bias, results);
  }
}

// Waits until a condition holds, and lets others have the core when that takes long.
template <typename Condition>
static inline void wait_until(Condition holds) {
  for (int spin = 0; !holds(); ++spin)
    if (spin > SPINS) std::this_thread::yield();
}

// Threads that do a step together; all but the first sleep between steps.
class Crew {
 public:
  explicit Crew(int size) : size(size), process(getpid()) {
    for (int number = 1; number < size; ++number)
      helpers.emplace_back([this, number] { help(number); });
  }

  ~Crew() {
    begin(nullptr, nullptr);
    for (auto& helper : helpers) helper.join();
  }

  // Returns once all threads have done their part.
  void run(void (*act)(void*, int), void* what) {
    if (size > 1) begin(act, what);
    act(what, 0);
    meet();
  }

  // Returns once all threads are there.
  void meet() {
    if (size == 1) return;
    const unsigned turn = meetings.load(std::memory_order_acquire);
    if (arrived.fetch_add(1, std::memory_order_acq_rel) == size - 1) {
      arrived.store(0, std::memory_order_relaxed);
      meetings.store(turn + 1, std::memory_order_release);
    } else {
      wait_until([&] { return meetings.load(std::memory_order_acquire) != turn; });
    }
  }

  const int size;
  const pid_t process;

 private:
  void begin(void (*act)(void*, int), void* what) {
    {
      std::lock_guard<std::mutex> held(lock);
      action = act, subject = what;
      steps.fetch_add(1, std::memory_order_release);
    }
    started.notify_all();
  }

  void help(int number) {
    for (unsigned done = 0;; ++done) {
      for (int spin = 0; spin < SPINS && steps.load(std::memory_order_acquire) == done;) ++spin;
      std::unique_lock<std::mutex> held(lock);
      started.wait(held, [&] { return steps.load(std::memory_order_acquire) != done; });
      auto act = action;
      auto what = subject;
      held.unlock();
      if (!act) return;
      act(what, number);
      meet();
    }
  }

  std::vector<std::thread> helpers;
  std::mutex lock;
  std::condition_variable started;
  std::atomic<unsigned> steps{0}, meetings{0};
  std::atomic<int> arrived{0};
  void (*action)(void*, int) = nullptr;
  void* subject = nullptr;
};

struct Norm {
  std::vector<float> scale, shift;
};

struct Layer {
  Norm attention_norm, network_norm;
  Matrix project_in, project_out, widen, narrow;
};

// Of one decoder: where its arrays are, and where in them the next code belongs.
// Mirrored by `_Position` in cvg/transformer/native/step.py.
extern "C" struct Position {
  int32_t videos;    // b
  int32_t slots;     // k: of the prefix, the anchors and the ring together
  int32_t places;    // m, of a frame
  int32_t place;     // of the code in its frame
  int32_t slot;      // of the code among the slots
  int32_t vocabulary;  // w: codes of all levels
  int32_t has_previous;
  float* const* keys;         // by layer [b, a, k, e], not turned
  float* const* values;       // by layer [b, a, k, e]
  const float* cosines;       // [k, e], of the angles by which keys are turned to the frame
  const float* sines;         // [k, e]
  float* bias;                // [b, k]: 0 for what is in sight, else minus infinity
  const float* base;          // [b, m, d]
  const float* before;        // [b, d], input of the first place
  const float* own;           // [w, d], the vector of each code
  const float* beside;        // [4, w + 1, d], what each brings from each direction
  const int64_t* numbers;     // [b, m + 1], of the codes of the frame and what is beyond the edge
  const int64_t* neighbours;  // [m, 4]
  const int64_t* previous;    // [b, m]: codes of the frame before
  float* logits;              // [b, v]: the result
};

// Which part of `count` a thread does.
static inline std::pair<int, int> share(int count, int number, int threads) {
  return {int(int64_t(count) * number / threads), int(int64_t(count) * (number + 1) / threads)};
}

// What the codes of a frame see, laid out as it is read.
struct Sight {
  struct Layer {
    Numbers keys;    // [b, a][k / BLOCK][e][BLOCK], turned to the frame
    Numbers values;  // [b, a][k][e], rows in whole vectors
  };
  int videos = 0, heads = 0, slots = 0, size = 0;
  std::vector<Layer> layers;
  std::vector<float> bias;               // [b, k]: 0 for what is in sight, else minus infinity
  std::vector<std::vector<int>> blocks;  // of each video: blocks of slots with any in sight

  int padded() const { return rounded_up(slots, BLOCK); }
  int row() const { return rounded_up(size, LANES); }
  size_t keys_of(int one) const { return size_t(one) * padded() * size; }
  size_t values_of(int one) const { return size_t(one) * slots * row(); }

  void make_room(const Position& at, int number_of_layers, int number_of_heads, int width,
                 bool half) {
    if (videos == at.videos && slots == at.slots && int(layers.size()) == number_of_layers) return;
    videos = at.videos, slots = at.slots, heads = number_of_heads, size = width / heads;
    layers.resize(number_of_layers);
    for (Layer& layer : layers) {
      layer.keys.clear(keys_of(videos * heads), half);
      layer.values.clear(values_of(videos * heads), half);
    }
  }

  void look(const float* in_sight) {
    bias.assign(size_t(videos) * padded(), -std::numeric_limits<float>::infinity());
    blocks.assign(videos, {});
    for (int video = 0; video < videos; ++video)
      for (int slot = 0; slot < slots; ++slot)
        if (in_sight[size_t(video) * slots + slot] == 0.f) show(video, slot);
  }

  // Brings a slot into sight.
  void show(int video, int slot) {
    bias[size_t(video) * padded() + slot] = 0.f;
    std::vector<int>& seen = blocks[video];
    const auto place = std::lower_bound(seen.begin(), seen.end(), slot / BLOCK);
    if (place == seen.end() || *place != slot / BLOCK) seen.insert(place, slot / BLOCK);
  }
};

struct Model {
  int width, heads, codes, code_width, threads;
  bool half = false;  // matrices, keys and values
  Matrix project;
  Norm norm;
  Matrix codebook;
  std::vector<float> code_vectors, code_squares;
  std::vector<Layer> layers;
  std::unique_ptr<Crew> crew;
  std::vector<float> features, normed, mixed, heads_in, wide, outputs, points;
  std::vector<std::vector<float>> scores;  // of each thread
  std::vector<std::vector<Pair>> pairs;    // of each thread

  // A fork has the memory of the threads, but not the threads: nothing may wait for them.
  void leave_threads_of_parent() {
    if (crew && crew->process != getpid()) crew.release();
  }

  ~Model() { leave_threads_of_parent(); }

  void call_crew() {
    leave_threads_of_parent();
    if (!crew) crew.reset(new Crew(threads));
  }

  void make_room(const Position& at) {
    const size_t videos = at.videos;
    features.resize(videos * width);
    mixed.resize(videos * width);
    heads_in.resize(videos * 3 * width);
    wide.resize(videos * 4 * width);
    outputs.resize(videos * (codes + 2 + code_width));
    points.resize(videos * code_width);
    call_crew();
    normed.resize(size_t(threads) * videos * width);
    scores.resize(threads);
    pairs.resize(threads);
  }
};

struct Step {
  Model& model;
  Sight& sight;
  const Position& at;
};

// Calls use(row, first, count, results) for each row and block of outputs of this thread's share.
template <typename Weight, typename Input, typename Use>
static void multiply(const Matrix& matrix, const Weight* weights, const Input* inputs, int size,
                     int rows, int number, int threads, Use use) {
  alignas(64) float results[4][BLOCK];
  const auto [first, last] = share(matrix.blocks(), number, threads);
  for (int block = first; block < last; ++block) {
    const Weight* own = weights + size_t(block) * matrix.inputs * BLOCK;
    const float* bias = matrix.bias.data() + block * BLOCK;
    const int outputs = std::min(BLOCK, matrix.outputs - block * BLOCK);
    for (int row = 0; row < rows; row += ROWS) {
      const int count = std::min(ROWS, rows - row);
      multiply_some(own, inputs + size_t(row) * size, size, bias, count, results);
      for (int one = 0; one < count; ++one) use(row + one, block * BLOCK, outputs, results[one]);
    }
  }
}

// The same, from inputs in float32; `pairs` is room for them as pairs.
template <typename Use>
static void multiply(const Matrix& matrix, const float* inputs, std::vector<Pair>& pairs, int rows,
                     int number, int threads, Use use) {
  const int size = matrix.inputs;
  if (!matrix.weights.half)
    return multiply(matrix, matrix.weights.single.data(), inputs, size, rows, number, threads, use);
  pairs.resize(size_t(rows) * size / 2);
  for (size_t i = 0; i < pairs.size(); ++i) pairs[i] = pair_of(inputs + 2 * i);
  multiply(matrix, matrix.weights.halves.data(), pairs.data(), size / 2, rows, number, threads, use);
}

static void normalise(const Norm& norm, const float* inputs, int rows, int width, float* results) {
  const int whole = width / LANES * LANES;
  for (int row = 0; row < rows; ++row, inputs += width, results += width) {
    Vector total{};
    for (int i = 0; i < whole; i += LANES) total += load(inputs + i);
    float mean = sum(total);
    for (int i = whole; i < width; ++i) mean += inputs[i];
    mean /= width;
    Vector squares{};
    for (int i = 0; i < whole; i += LANES) {
      const Vector apart = load(inputs + i) - mean;
      squares += apart * apart;
    }
    float variance = sum(squares);
    for (int i = whole; i < width; ++i) variance += (inputs[i] - mean) * (inputs[i] - mean);
    const float factor = 1.0f / std::sqrt(variance / width + EPSILON);
    for (int i = 0; i < width; ++i)
      results[i] = (inputs[i] - mean) * factor * norm.scale[i] + norm.shift[i];
  }
}

static void copy_row(float* to, const float* from, int count) {
  std::memcpy(to, from, size_t(count) * sizeof(float));
}

// Softmax in place, over whole vectors.
static void soften(float* scores, int count) {
  const float nothing = -std::numeric_limits<float>::infinity();
  Vector most = spread(nothing);
  for (int i = 0; i < count; i += LANES) {
    const Vector value = load(scores + i);
    most = value > most ? value : most;
  }
  float largest = nothing;
  for (int lane = 0; lane < LANES; ++lane) largest = std::max(largest, most[lane]);
  Vector total{};
  for (int i = 0; i < count; i += LANES) {
    const Vector value = exponential(load(scores + i) - largest);
    total += value;
    store(scores + i, value);
  }
  const float factor = 1.0f / sum(total);
  for (int i = 0; i < count; i += LANES) store(scores + i, load(scores + i) * factor);
}

// Sums the rows of some blocks, each row times its weight; COUNT vectors of each row.
template <int COUNT, typename Number>
static inline void mix_rows(const Number* rows, int stride, int slots, const float* weights,
                            const std::vector<int>& blocks, float* mixed) {
  Vector sums[COUNT] = {};
  for (int block : blocks) {
    const int first = block * BLOCK, count = std::min(BLOCK, slots - first);
    const Number* row = rows + size_t(first) * stride;
    for (int i = 0; i < count; ++i, row += stride) {
      ask_ahead<COUNT>(row);
      for (int v = 0; v < COUNT; ++v) sums[v] += load(row + v * LANES) * weights[i];
    }
    weights += BLOCK;
  }
  for (int v = 0; v < COUNT; ++v) store(mixed + v * LANES, sums[v]);
}

template <int COUNT = 8, typename Number>
static void mix_some(int vectors, const Number* rows, int stride, int slots, const float* weights,
                     const std::vector<int>& blocks, float* mixed) {
  if (vectors >= COUNT) mix_rows<COUNT>(rows, stride, slots, weights, blocks, mixed);
  else if constexpr (COUNT > 1)
    mix_some<COUNT - 1>(vectors, rows, stride, slots, weights, blocks, mixed);
}

// Keeps the key and the value of a code: as they are, and as they are read.
static void keep(Sight& sight, const Position& at, int number_of_layer, int one, const float* key,
                 const float* value) {
  const int size = sight.size, slot = at.slot;
  const size_t place = (size_t(one) * sight.slots + slot) * size;
  copy_row(at.keys[number_of_layer] + place, key, size);
  copy_row(at.values[number_of_layer] + place, value, size);
  Sight::Layer& layer = sight.layers[number_of_layer];
  layer.keys.with(sight.keys_of(one) + size_t(slot / BLOCK) * size * BLOCK, [&](auto* keys) {
    for (int i = 0; i < size; ++i) set(keys + i * BLOCK + slot % BLOCK, key[i]);
  });
  layer.values.with(sight.values_of(one) + size_t(slot) * sight.row(), [&](auto* values) {
    for (int i = 0; i < size; ++i) set(values + i, value[i]);
  });
}

static float dot(const float* one, const float* other, int count) {
  const int whole = count / LANES * LANES;
  Vector total{};
  for (int i = 0; i < whole; i += LANES) total += load(one + i) * load(other + i);
  float product = sum(total);
  for (int i = whole; i < count; ++i) product += one[i] * other[i];
  return product;
}

// One head of one video: keeps its key and value, and weighs what is in sight.
static void weigh(Model& model, Sight& sight, const Position& at, int number_of_layer, int one,
                  float* scores) {
  const int width = model.width, size = sight.size;
  const int video = one / model.heads, head = one % model.heads;
  const float* query = model.heads_in.data() + size_t(video) * 3 * width + head * size;
  const float* key = query + width;
  const float* bias = sight.bias.data() + size_t(video) * sight.padded();
  float* results = scores;
  sight.layers[number_of_layer].keys.with(sight.keys_of(one), [&](const auto* keys) {
    for (int block : sight.blocks[video]) {
      multiply_rows<1>(keys + size_t(block) * size * BLOCK, query, 0, size, bias + block * BLOCK,
                       reinterpret_cast<float(*)[BLOCK]>(results));
      if (block == at.slot / BLOCK) results[at.slot % BLOCK] = dot(query, key, size);
      results += BLOCK;
    }
  });
  // Its own key is written once those around it have been read: before, it would wait for memory.
  // So it meets its own key as it is, and later ones as they are kept.
  keep(sight, at, number_of_layer, one, key, key + width);
  soften(scores, int(results - scores));
}

// One head of one video: mixes the values in sight.
static void mix(Model& model, Sight& sight, int number_of_layer, int one, const float* scores) {
  const int size = sight.size, row = sight.row();
  const int video = one / model.heads, head = one % model.heads;
  const std::vector<int>& blocks = sight.blocks[video];
  float* mixed = model.mixed.data() + size_t(video) * model.width + head * size;
  alignas(64) float results[8 * LANES];
  sight.layers[number_of_layer].values.with(sight.values_of(one), [&](const auto* values) {
    for (int first = 0; first < size; first += 8 * LANES) {
      mix_some((row - first) / LANES, values + first, row, sight.slots, scores, blocks, results);
      copy_row(mixed + first, results, std::min(8 * LANES, size - first));
    }
  });
}

// A thread's share of heads: first all keys, then all values, each read from end to end.
static void attend(Model& model, Sight& sight, const Position& at, int number_of_layer,
                   int number) {
  const auto [begin, end] = share(at.videos * model.heads, number, model.threads);
  const size_t room = sight.padded();
  std::vector<float>& scores = model.scores[number];
  scores.resize((end - begin) * room);
  for (int one = begin; one < end; ++one)
    weigh(model, sight, at, number_of_layer, one, scores.data() + (one - begin) * room);
  for (int one = begin; one < end; ++one)
    mix(model, sight, number_of_layer, one, scores.data() + (one - begin) * room);
}

static void add_row(float* to, const float* from, int count) {
  for (int i = 0; i < count; ++i) to[i] += from[i];
}

// Fills in what the place has as input, and brings it into sight.
static void gather(Model& model, Sight& sight, const Position& at) {
  const int width = model.width;
  for (int video = 0; video < at.videos; ++video) {
    const int64_t* numbers = at.numbers + size_t(video) * (at.places + 1);
    float* features = model.features.data() + size_t(video) * width;
    copy_row(features, at.base + (size_t(video) * at.places + at.place) * width, width);
    add_row(features, at.place ? at.own + numbers[at.place - 1] * width
                               : at.before + size_t(video) * width, width);
    for (int n = 0; n < 4; ++n) {
      const int64_t row = int64_t(n) * (at.vocabulary + 1) + numbers[at.neighbours[at.place * 4 + n]];
      add_row(features, at.beside + row * width, width);
    }
    sight.show(video, at.slot);
    at.bias[size_t(video) * at.slots + at.slot] = 0.f;
  }
}

// Adds what the head says of the code before at this place: repeat it, or take one near it.
static void point(Model& model, const Position& at, int number, int threads) {
  const int codes = model.codes, outputs = codes + 2 + model.code_width;
  multiply(model.codebook, model.points.data(), model.pairs[number], at.videos, number, threads,
           [&](int video, int first, int count, const float* products) {
             const float* own = model.outputs.data() + size_t(video) * outputs;
             const float steepness = own[codes + 1];
             const int64_t before = std::min<int64_t>(
                 at.previous[size_t(video) * at.places + at.place], codes - 1);
             float* logits = at.logits + size_t(video) * codes;
             for (int i = 0; i < count; ++i) {
               const int code = first + i;
               logits[code] = own[code] +
                              steepness * (2 * products[i] - model.code_squares[code]) +
                              (code == before ? own[codes] : 0.f);
             }
           });
}

static void find_points(Model& model, const Position& at) {
  const int codes = model.codes, size = model.code_width, outputs = codes + 2 + size;
  for (int video = 0; video < at.videos; ++video) {
    const float* move = model.outputs.data() + size_t(video) * outputs + codes + 2;
    const int64_t before =
        std::min<int64_t>(at.previous[size_t(video) * at.places + at.place], codes - 1);
    for (int i = 0; i < size; ++i)
      model.points[size_t(video) * size + i] = model.code_vectors[before * size + i] + move[i];
  }
}

static void pass_layer(Model& model, Sight& sight, const Position& at, int number_of_layer,
                       int number) {
  Layer& layer = model.layers[number_of_layer];
  Crew& crew = *model.crew;
  const int width = model.width, threads = crew.size, videos = at.videos;
  float* features = model.features.data();
  float* normed = model.normed.data() + size_t(number) * videos * width;  // each thread its own
  std::vector<Pair>& pairs = model.pairs[number];
  const auto add = [&](int video, int first, int count, const float* results) {
    add_row(features + size_t(video) * width + first, results, count);
  };

  normalise(layer.attention_norm, features, videos, width, normed);
  multiply(layer.project_in, normed, pairs, videos, number, threads,
           [&](int video, int first, int count, const float* results) {
             copy_row(model.heads_in.data() + size_t(video) * 3 * width + first, results, count);
           });
  crew.meet();
  attend(model, sight, at, number_of_layer, number);
  crew.meet();
  multiply(layer.project_out, model.mixed.data(), pairs, videos, number, threads, add);
  crew.meet();
  normalise(layer.network_norm, features, videos, width, normed);
  multiply(layer.widen, normed, pairs, videos, number, threads,
           [&](int video, int first, int count, float* results) {
             for (int i = 0; i < BLOCK; i += LANES) store(results + i, gelu(load(results + i)));
             copy_row(model.wide.data() + size_t(video) * 4 * width + first, results, count);
           });
  crew.meet();
  multiply(layer.narrow, model.wide.data(), pairs, videos, number, threads, add);
  crew.meet();
}

static void act(void* what, int number) {
  Model& model = static_cast<Step*>(what)->model;
  const Position& at = static_cast<Step*>(what)->at;
  Sight& sight = static_cast<Step*>(what)->sight;
  Crew& crew = *model.crew;
  const int width = model.width, outputs = model.codes + 2 + model.code_width;
  float* features = model.features.data();
  for (size_t layer = 0; layer < model.layers.size(); ++layer)
    pass_layer(model, sight, at, int(layer), number);
  float* normed = model.normed.data() + size_t(number) * at.videos * width;
  normalise(model.norm, features, at.videos, width, normed);
  multiply(model.project, normed, model.pairs[number], at.videos, number, crew.size,
           [&](int video, int first, int count, const float* results) {
             copy_row(model.outputs.data() + size_t(video) * outputs + first, results, count);
           });
  crew.meet();
  if (at.has_previous) {
    if (number == 0) find_points(model, at);
    crew.meet();
    point(model, at, number, crew.size);
  } else if (number == 0) {
    for (int video = 0; video < at.videos; ++video)
      copy_row(at.logits + size_t(video) * model.codes,
               model.outputs.data() + size_t(video) * outputs, model.codes);
  }
}

// Turns a key by its angles and writes it as a column, as Rotation.turn does.
template <typename Number>
static void turn(const float* key, const float* cosines, const float* sines, int size, Number* to,
                 int stride) {
  const int half = size / 2;
  for (int i = 0; i < half; ++i) {
    set(to + i * stride, key[i] * cosines[i] + key[i + half] * sines[i]);
    set(to + (i + half) * stride, key[i + half] * cosines[i + half] + key[i] * sines[i + half]);
  }
}

// One head of one video in one layer: lays out what is in sight.
static void lay_out(Sight& sight, const Position& at, int number_of_layer, int one) {
  const int size = sight.size, row = sight.row();
  const size_t begin = size_t(one) * sight.slots * size;
  const float* own_keys = at.keys[number_of_layer] + begin;
  const float* own_values = at.values[number_of_layer] + begin;
  Sight::Layer& layer = sight.layers[number_of_layer];
  for (int block : sight.blocks[one / sight.heads]) {
    const int first = block * BLOCK, last = std::min(first + BLOCK, sight.slots);
    layer.keys.with(sight.keys_of(one) + size_t(first) * size, [&](auto* keys) {
      for (int slot = first; slot < last; ++slot) {
        const size_t place = size_t(slot) * size;
        turn(own_keys + place, at.cosines + place, at.sines + place, size, keys + slot - first,
             BLOCK);
      }
    });
    layer.values.with(sight.values_of(one), [&](auto* values) {
      for (int slot = first; slot < last; ++slot)
        for (int i = 0; i < size; ++i)
          set(values + size_t(slot) * row + i, own_values[size_t(slot) * size + i]);
    });
  }
}

static void lay_out_some(void* what, int number) {
  Step& step = *static_cast<Step*>(what);
  const int ones = step.sight.videos * step.sight.heads;
  const auto [first, last] =
      share(int(step.sight.layers.size()) * ones, number, step.model.threads);
  for (int each = first; each < last; ++each)
    lay_out(step.sight, step.at, each / ones, each % ones);
}

static Matrix* matrix_of(Model& model, int layer, int which) {
  if (layer < 0) return &model.project;
  Layer& own = model.layers[layer];
  Matrix* all[] = {&own.project_in, &own.project_out, &own.widen, &own.narrow};
  return all[which];
}

static Norm* norm_of(Model& model, int layer, int which) {
  if (layer < 0) return &model.norm;
  return which == 0 ? &model.layers[layer].attention_norm : &model.layers[layer].network_norm;
}

extern "C" {

// Whether what is multiplied by weights that are halves is rounded too.
int cvg_rounds_inputs() { return std::is_integral<Pair>::value; }

void* cvg_create(int width, int layers, int heads, int codes, int code_width, int threads,
                 int half) {
  auto* model = new Model();
  model->width = width, model->heads = heads, model->codes = codes;
  model->code_width = code_width, model->threads = threads;
  model->half = half;
  model->layers.resize(layers);
  return model;
}

void cvg_destroy(void* model) { delete static_cast<Model*>(model); }

// A matrix of a layer: 0 project_in, 1 project_out, 2 widen, 3 narrow; of layer -1: of the head.
void cvg_set_matrix(void* model, int layer, int which, const float* weights, const float* bias,
                    int outputs, int inputs) {
  Model& own = *static_cast<Model*>(model);
  matrix_of(own, layer, which)->fill(weights, bias, outputs, inputs, own.half);
}

// A norm of a layer: 0 of attention, 1 of the network; of layer -1: of the head.
void cvg_set_norm(void* model, int layer, int which, const float* scale, const float* shift) {
  Model& own = *static_cast<Model*>(model);
  Norm* norm = norm_of(own, layer, which);
  norm->scale.assign(scale, scale + own.width);
  norm->shift.assign(shift, shift + own.width);
}

void cvg_set_codebook(void* model, const float* vectors, const float* squares) {
  Model& own = *static_cast<Model*>(model);
  own.codebook.fill(vectors, nullptr, own.codes, own.code_width, false);
  own.code_vectors.assign(vectors, vectors + size_t(own.codes) * own.code_width);
  own.code_squares.assign(squares, squares + own.codes);
}

void* cvg_create_sight() { return new Sight(); }

void cvg_destroy_sight(void* sight) { delete static_cast<Sight*>(sight); }

// Takes up a frame: lays out what is in sight of it.
void cvg_begin(void* model, void* sight, const Position* at) {
  Model& own = *static_cast<Model*>(model);
  Sight& seen = *static_cast<Sight*>(sight);
  seen.make_room(*at, int(own.layers.size()), own.heads, own.width, own.half);
  seen.look(at->bias);
  own.call_crew();
  Step step{own, seen, *at};
  own.crew->run(lay_out_some, &step);
}

void cvg_step(void* model, void* sight, const Position* at) {
  Model& own = *static_cast<Model*>(model);
  Sight& seen = *static_cast<Sight*>(sight);
  own.make_room(*at);
  gather(own, seen, *at);
  Step step{own, seen, *at};
  own.crew->run(act, &step);
}

}  // extern "C"
