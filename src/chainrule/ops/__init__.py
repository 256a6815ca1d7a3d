"""Forward/backward pairs: pure functions of an Array API namespace and arrays.

`x_forward` returns ``(y, residuals)``; `x_backward` takes the residuals and the derivative of the
loss with respect to `y` and returns the derivatives with respect to the inputs, in their order.
"""
