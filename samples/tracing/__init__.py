"""Watch some of the messages of a flow, without a change in the flow."""
