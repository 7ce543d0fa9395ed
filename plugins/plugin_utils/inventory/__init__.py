"""One look before anything is touched: an inventory judged as a whole, on the controller, before Ansible starts."""
