// A space whose decisions Python makes.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "nascore/quotient.hpp"
#include "nascore/space.hpp"

namespace nascore::bindings {

// One call of Python for any number of states; what comes back is checked.
class PythonSpace final : public Space {
 public:
  explicit PythonSpace(py::object space) : space_(std::move(space)) {
    heads_ = space_.attr("heads").cast<std::vector<int>>();
    if (heads_.empty() || *std::min_element(heads_.begin(), heads_.end()) < 1) {
      throw py::value_error("heads of the space: expected sizes of at least 1");
    }
    max_steps_ = space_.attr("max_steps").cast<int>();
    keyed_ = py::hasattr(space_, "key");
    const auto start = answer<std::int16_t>("start", {1, "W"}, 1);
    width_ = static_cast<int>(start.shape(1));
    start_.assign(start.data(), start.data() + width_);
    observation_width_ =
        static_cast<int>(answer<std::int16_t>("observe", {1, "V"}, start).shape(1));
    feature_width_ = static_cast<int>(answer<float>("features", {1, "F"}, start).shape(1));
  }

  int state_width() const override { return width_; }
  int observation_width() const override { return observation_width_; }
  int feature_width() const override { return feature_width_; }
  int max_steps() const override { return max_steps_; }
  const std::vector<int>& heads() const override { return heads_; }

  void start(std::int16_t* state) const override { std::copy(start_.begin(), start_.end(), state); }
  int head(const std::int16_t* state) const override {
    const py::gil_scoped_acquire gil;
    return answer<std::int32_t>("head", {1}, given(state, 1)).at(0);
  }
  bool done(const std::int16_t* state) const override {
    const py::gil_scoped_acquire gil;
    return answer<bool>("done", {1}, given(state, 1)).at(0);
  }
  void legal(const std::int16_t* state, bool* mask) const override { legal_all(state, 1, mask); }
  void step(const std::int16_t* state, int action, std::int16_t* next) const override {
    const std::int32_t actions[] = {action};
    step_all(state, 1, actions, next);
  }
  void observe(const std::int16_t* state, std::int16_t* observation) const override {
    const py::gil_scoped_acquire gil;
    copy(answer<std::int16_t>("observe", {1, observation_width_}, given(state, 1)), observation);
  }
  void features(const std::int16_t* state, float* out) const override {
    const py::gil_scoped_acquire gil;
    copy(answer<float>("features", {1, feature_width_}, given(state, 1)), out);
  }
  int actions(const std::int16_t* state, std::int32_t* out) const override {
    const py::gil_scoped_acquire gil;
    const py::object found = py::object(space_.attr("decode")(given(state, 1)))[py::int_(0)];
    const auto actions = space_.attr("actions")(found).cast<std::vector<std::int32_t>>();
    std::copy(actions.begin(), actions.end(), out);
    return static_cast<int>(actions.size());
  }
  Hash128 key(const std::int16_t* state) const override {
    Hash128 key;
    key_all(state, 1, &key);
    return key;
  }

  void legal_all(const std::int16_t* states, int n, bool* masks) const override {
    const py::gil_scoped_acquire gil;
    copy(answer<bool>("legal", {n, largest_head(*this)}, given(states, n)), masks);
  }
  void step_all(const std::int16_t* states, int n, const std::int32_t* actions,
                std::int16_t* next) const override {
    const py::gil_scoped_acquire gil;
    Array<std::int32_t> chosen(py::ssize_t{n});
    std::copy_n(actions, n, chosen.mutable_data());
    copy(answer<std::int16_t>("step", {n, width_}, given(states, n), chosen), next);
  }
  void key_all(const std::int16_t* states, int n, Hash128* keys) const override {
    if (!keyed_) return Space::key_all(states, n, keys);
    const py::gil_scoped_acquire gil;
    const auto found = answer<std::uint64_t>("key", {n, 2}, given(states, n));
    for (int i = 0; i < n; ++i) {  // a person's key may have all its bits at one end
      const std::uint64_t high = mix(found.at(i, 0)), low = found.at(i, 1);
      keys[i] = {mix(high ^ low), mix(high + ~low)};
    }
  }

 private:
  template <class T, class... Arguments>
  Array<T> answer(const char* method, std::initializer_list<Dim> dims,
                  const Arguments&... arguments) const {
    const std::string name = std::string(method) + " of the space";
    return checked(Given<T>{space_.attr(method)(arguments...)}, name.c_str(), dims);
  }

  Array<std::int16_t> given(const std::int16_t* states, int n) const {
    Array<std::int16_t> out({py::ssize_t{n}, py::ssize_t{width_}});
    std::copy_n(states, out.size(), out.mutable_data());
    return out;
  }

  template <class T>
  static void copy(const Array<T>& from, T* to) {
    std::copy_n(from.data(), from.size(), to);
  }

  py::object space_;
  std::vector<int> heads_;
  std::vector<std::int16_t> start_;
  int width_, observation_width_, feature_width_, max_steps_;
  bool keyed_;
};

}  // namespace nascore::bindings
